"""What the machine is told: memory that is kept."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from biggan.training.hardware import keep_freed_memory
keep_freed_memory()
for _ in range(20):
    torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_freed_memory_that_is_kept_comes_back_without_a_page_fault():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2**24 * 4 / 4096  # ten tensors cause fewer than one of them would
