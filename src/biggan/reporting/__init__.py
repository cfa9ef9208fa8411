"""One page that shows a model and how it was trained (`reporting/report.py`)."""
