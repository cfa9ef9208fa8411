"""A process that hangs ends, and says where it was; one that moves does not."""

import subprocess
import sys

HANGING = """
import time
from biggan.distributed.watchdog import watched

def waits_for_nobody():
    time.sleep(600)

with watched(0.2):
    waits_for_nobody()
"""

MOVING = """
import time
from biggan.distributed.watchdog import alive, patient, watched

with watched(2):
    for _ in range(8):
        alive()
        time.sleep(0.4)
    with patient():
        time.sleep(2.5)
    alive()
time.sleep(2.5)
print("done")
"""


def test_a_hanging_process_ends_with_its_stack():
    ended = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, text=True)
    assert ended.returncode == 1
    assert "waits_for_nobody" in ended.stderr


def test_a_process_that_moves_and_one_that_works_for_all_are_left_alone():
    ended = subprocess.run([sys.executable, "-c", MOVING], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "done\n")
