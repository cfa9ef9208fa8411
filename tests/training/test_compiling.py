"""Compiled training: the same run to rounding, compiled once, and one sentence where it cannot be."""

from dataclasses import replace

import pytest
import torch

from biggan import presets
from biggan.config import Config
from biggan.errors import ConfigError
from biggan.training import compiling
from biggan.training.compiling import Start, check_compiler
from biggan.training.loop import Training, iterate
from biggan.training.trial import Noise

CPU = torch.device("cpu")


def config(compiled: bool) -> Config:
    base = presets.preset("tiny")
    return replace(base, train=replace(base.train, compile=compiled))


@pytest.mark.filterwarnings("ignore:The .grad attribute", "ignore::DeprecationWarning")  # torch's own, hidden elsewhere
def test_compiled_iterations_are_the_eager_ones_and_are_compiled_in_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "BACKEND", "aot_eager")  # all but the C++, which takes its time
    data = Noise(config(True))
    eager, compiled = Training(config(False), CPU), Training(config(True), CPU)
    expected, found = iterate(eager, data), iterate(compiled, data)
    for name, figure in expected.items():
        torch.testing.assert_close(found[name], figure, atol=1e-4, rtol=1e-3)
    with torch.compiler.set_stance("fail_on_recompile"):
        assert all(bool(torch.isfinite(figure)) for figure in iterate(compiled, data).values())


def test_a_missing_compiler_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"^--compile needs the C\+\+ compiler no-such-compiler, .*\.$"):
        check_compiler()


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"^--compile is for one process and there are 2; leave it out\.$"):
        check_compiler()


def test_compiling_and_computing_again_are_refused_together() -> None:
    with pytest.raises(ConfigError, match=r"--compile and --recompute"):
        replace(config(True), train=replace(config(True).train, recompute=True))


def test_the_start_is_told_once() -> None:
    said: list[str] = []
    start = Start(said.append)
    for _ in range(3):
        start(None, {})
    assert len(said) == 2
    assert "Compiled in 0 s" in said[1]
