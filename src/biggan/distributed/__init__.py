"""Several processes that train or draw as one; in a process alone nothing here does anything.

`launch.py` is what their launcher says, `processes.py` who is there and how they meet, `collective.py` what they share,
`gradients.py` the mean of their gradients, `watchdog.py` what ends a job that hangs.
"""
