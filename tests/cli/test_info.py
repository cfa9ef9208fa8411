"""`biggan info` tells of a folder what is so."""

import json
from pathlib import Path

import pytest
from tiny_models import NAMES, UNCONDITIONAL, make_bundle, make_folder

from biggan.cli.main import main
from biggan.models.build import build, count_parameters
from biggan.models.bundle import save_bundle
from biggan.opening import load

Said = pytest.CaptureFixture[str]


def test_a_model_is_described(tmp_path: Path, capsys: Said) -> None:
    folder = make_folder(tmp_path / "model")
    assert main(["info", str(folder), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    G, D = build(load(folder).config)
    assert facts["kind"] == "model"
    assert facts["parameters"] == {"G": count_parameters(G), "D": count_parameters(D)}
    assert facts["class_names"] == NAMES
    assert facts["model"]["resolution"] == 32
    assert facts["training"] == {"data": "nothing", "images": 0}
    assert facts["sha256"] == load(folder).bundle.sha256
    assert facts["files"] == {path.name: path.stat().st_size for path in folder.iterdir()}
    assert main(["info", str(folder)]) == 0
    said = capsys.readouterr().out
    for part in ("32 px, grey", f"G {count_parameters(G):,}", "3: T-shirt/top, Bag, Ankle boot", facts["sha256"]):
        assert part in said


def test_a_model_without_classes_is_described(tmp_path: Path, capsys: Said) -> None:
    assert main(["info", str(make_folder(tmp_path / "model", UNCONDITIONAL))]) == 0
    said = capsys.readouterr().out
    assert "RGB" in said
    assert "classes      none" in said


def test_a_run_is_described_before_and_after_its_first_model(tmp_path: Path, capsys: Said) -> None:
    run = tmp_path / "run"
    (run / "states" / "000000001000").mkdir(parents=True)
    (run / "run.json").write_text("{}")
    (run / "stats.jsonl").write_text('{"images": 500, "loss_g": 2}\n{"images": 1000, "loss_g": 1.5}\n{"ima')
    assert main(["info", str(run)]) == 0
    said = capsys.readouterr().out
    assert "a run" in said
    assert "none yet" in said
    assert "after 1,000 images" in said
    assert "images 1,000, loss_g 1.5" in said
    make_folder(run)
    assert main(["info", str(run), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kind"] == "run"
    assert facts["states"] == [1000]
    assert facts["figures"] == {"images": 1000, "loss_g": 1.5}
    assert facts["class_names"] == NAMES


def test_a_run_is_done_when_its_model_has_seen_all_images_and_has_all_tables(tmp_path: Path, capsys: Said) -> None:
    run = tmp_path / "run"
    (run / "states").mkdir(parents=True)

    def asked(total_images: int) -> int:
        (run / "run.json").write_text(json.dumps({"config": {"train": {"total_images": total_images}}}))
        return main(["info", str(run), "--done"])

    assert asked(0) == 75
    make_folder(run)
    assert asked(0) == 0
    assert "done         yes" in capsys.readouterr().out
    assert asked(1) == 75
    assert "is not done; the same command goes on" in capsys.readouterr().err
    assert main(["info", str(tmp_path / "none"), "--done"]) == 2
    assert main(["info", str(make_folder(tmp_path / "model")), "--done"]) == 0


def test_a_damaged_record_is_told_rather_than_a_run_to_go_on_with(tmp_path: Path, capsys: Said) -> None:
    run = make_folder(tmp_path / "run")
    (run / "states").mkdir()
    (run / "run.json").write_text('{"config": {"tr')
    assert main(["info", str(run), "--done"]) == 2
    assert "run.json cannot be read as JSON" in capsys.readouterr().err


def test_what_is_no_model_is_one_sentence(tmp_path: Path, capsys: Said) -> None:
    broken = make_folder(tmp_path / "broken")
    content = bytearray((broken / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (broken / "model.safetensors").write_bytes(content)
    for given, message in (
        (str(tmp_path), "holds no model"),
        ("nowhere", "no model 'nowhere'"),
        (str(broken), "damaged"),
    ):
        assert main(["info", given]) == 2
        said = capsys.readouterr().err
        assert message in said
        assert len(said.splitlines()) == 1


def test_what_an_import_assumed_is_told_in_whole_sentences(tmp_path: Path, capsys: Said) -> None:
    made, notes = (
        make_bundle(),
        ["There was no averaged generator in it at all.", "Epsilons were taken from the file's looks."],
    )
    for assumed, said in ((notes, f"assumed ({' '.join(notes)}), images 3"), ([], "from a file, images 3")):
        made.training = {"imported from": "a file", "assumed": assumed, "images": 3}
        save_bundle(tmp_path / "model", made, None)
        assert main(["info", str(tmp_path / "model")]) == 0
        assert said in capsys.readouterr().out
