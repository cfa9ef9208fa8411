"""`biggan plan` says what a run needs, with formulas where asked, and refuses what cannot be."""

import json

import pytest

from biggan.cli.main import main

TINY = ["plan", "--preset", "tiny"]
Said = pytest.CaptureFixture[str]


def test_a_plan_is_told_and_explained(capsys: Said) -> None:
    assert main([*TINY, "--gpus", "2", "--gpu-memory", "8", "--rate", "100", "--explain"]) == 0
    said = capsys.readouterr().out
    for part in ("2 x 1 x 4 = 8", "multiply-adds", "GiB", "images/s", "320 images", "= 2 x multiply-adds"):
        assert part in said


def test_flags_of_train_change_the_plan(capsys: Said) -> None:
    assert main([*TINY, "--cpus", "2", "--batch-size", "24", "--microbatch", "3", "--as-json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["batch"]["text"].startswith("2 x 4 x 3 = 24")
    assert "give --rate, --tflops or --measure" in told["speed"]["text"]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--gpus", "2", "--cpus", "2"], "--gpus and --cpus exclude each other"),
        (["--gpus", "0"], "--gpus is 0; allowed is 1 or more"),
        (["--gpus", "2", "--measure"], "--measure measures this machine's CPU"),
        (["--rate", "1", "--tflops", "1"], "--rate, --tflops and --measure each give the speed"),
        (["--rate", "-1"], "--rate is -1; allowed is above 0"),
        (["--gpus", "3"], "--batch-size is 8; allowed is a multiple of the number of processes, 3"),
        (["--gpus", "1", "--gpu-memory", "0.5"], "With one image at a time this run needs"),
    ],
)
def test_what_cannot_be_planned_is_one_sentence(flags: list[str], sentence: str, capsys: Said) -> None:
    assert main([*TINY, *flags]) == 2
    assert sentence in capsys.readouterr().err
