"""The command line: one function a command; the only place that prints."""
