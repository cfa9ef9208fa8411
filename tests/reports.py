"""Text that is not to be trusted, for tests of reports."""

HOSTILE = "<script>alert('x')</script>"
NAMES = [HOSTILE, "a & b", '"><img src=x>']
