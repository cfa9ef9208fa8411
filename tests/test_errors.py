"""What is said of errors that others raise."""

from collections.abc import Callable

import pytest
import torch

from biggan.cli import main as command
from biggan.errors import OutOfMemory


def of_a_card() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def of_a_machine() -> None:
    torch.empty(2**58)


def of_python() -> None:
    raise MemoryError


def of_other_networks() -> None:
    torch.nn.Linear(1, 1).load_state_dict({"weight": torch.ones(2, 2)})


@pytest.mark.parametrize("fail", [of_a_card, of_a_machine, of_python])
def test_too_little_memory_is_one_sentence_wherever_it_is_short(
    fail: Callable[[], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "dispatch", lambda argv: fail())
    assert command.main([]) == OutOfMemory.exit_code
    assert capsys.readouterr().err.startswith("biggan: not enough memory; lower --microbatch")


def test_other_errors_of_torch_are_no_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "dispatch", lambda argv: of_other_networks())
    with pytest.raises(RuntimeError, match="size mismatch"):
        command.main([])
