"""What the machine is told: memory that is kept."""

import platform
import subprocess
import sys

import pytest
import torch

from biggan.training import hardware

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


def test_a_container_has_the_memory_that_it_is_allowed(tmp_path, monkeypatch):
    places = tmp_path / "memory.max", tmp_path / "memory.limit_in_bytes"
    monkeypatch.setattr(hardware, "LIMITS", places)
    installed = hardware.installed_memory(torch.device("cpu"))
    places[0].write_text("max\n")
    places[1].write_text(f"{2**63 - 4096}\n")
    assert hardware.installed_memory(torch.device("cpu")) == installed
    places[0].write_text("4096000\n")
    assert hardware.installed_memory(torch.device("cpu")) == 4_096_000


@pytest.mark.parametrize(("amx", "vectors", "precision"), [(True, False, "bfloat16"), (False, False, "float32")])
def test_precision_is_what_the_processor_multiplies_fast(amx, vectors, precision, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: vectors)
    assert hardware.pick_precision("auto", torch.device("cpu")) == precision
    assert hardware.pick_precision("float32", torch.device("cpu")) == "float32"
