"""`python -m biggan` is `biggan`."""

import sys

from biggan.cli.main import main

sys.exit(main())
