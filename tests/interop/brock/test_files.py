"""Which files of a folder are read, and what is told to be theirs."""

import os
from pathlib import Path

import torch
from checkpoints import CONFIG, NONE, load, networks, put, refusal, same

from biggan.interop import brock
from biggan.interop.imported import Imported


def test_the_averaged_generator_is_drawn_from_and_training_goes_on_from_the_other(tmp_path):
    files = {**networks(), "G_ema": networks(seed=1)["G"]}
    imported = load(put(tmp_path, files))
    assert same(imported.bundle.G.state_dict(), files["G_ema"])
    assert {name: same(imported.trained[name], files[name]) for name in files} == dict.fromkeys(files, True)
    assert imported.trained["optim_g"] == imported.trained["optim_d"] == {}
    assert "There is no G_optim.pth with it, so that optimizer begins afresh." in imported.notes


def test_an_averaged_generator_alone_draws_and_trains_no_further(tmp_path):
    imported = load(put(tmp_path, {"G_ema": networks()["G"]}))
    assert imported.trained == {}
    assert imported.bundle.D is None
    assert imported.bundle.training["imported from"] == "BigGAN-PyTorch (G_ema.pth)"


def test_nothing_of_training_is_read_if_not_asked_for(tmp_path):
    place = put(tmp_path, {**networks(), "G_ema": networks(seed=1)["G"]})
    (place / "G.pth").write_bytes(b"")
    assert brock.load(place, NONE, training=False).trained == {}
    assert "G.pth is empty" in refusal(place)


def saves(place: Path, *copies: str) -> Path:
    """A folder with a save under each suffix, whose weights are its place among them."""
    for seed, copy in enumerate(copies):
        put(place, {f"{role}{copy and f'_{copy}'}": networks(seed=seed)[role] for role in ("G", "D")})
    return place


def is_seed(imported: Imported, seed: int) -> bool:
    return same(imported.bundle.G.state_dict(), networks(seed=seed)["G"])


def test_the_plain_files_go_before_copies_and_a_copy_can_be_asked_for(tmp_path):
    place = saves(tmp_path, "copy0", "", "best3")
    assert is_seed(load(place), 1)
    assert is_seed(load(place, copy="best3"), 2)
    assert is_seed(load(place, copy="copy0"), 0)
    assert "has no copy 'best4'; did you mean 'best3'?" in refusal(place, copy="best4")


def test_without_plain_files_the_copy_that_came_furthest_is_read_and_said(tmp_path):
    place = saves(tmp_path, "copy0", "copy1", "best0")
    for copy, iterations in (("copy0", 30), ("copy1", 50), ("best0", 40)):
        put(place, {f"state_dict_{copy}": {"itr": iterations, "config": CONFIG}})
    imported = load(place)
    assert is_seed(imported, 1)
    assert "Of the copies best0, copy0, copy1 the latest was read, copy1." in imported.notes


def test_without_records_the_newest_copy_is_read(tmp_path):
    place = saves(tmp_path, "copy0", "copy1")
    os.utime(place / "G_copy1.pth", (1, 1))
    assert is_seed(load(place), 0)


def test_one_file_is_read_alone_with_the_record_of_its_own_save(tmp_path):
    place = saves(tmp_path, "copy0", "best3")
    put(place, {"state_dict_best3": {"itr": 5, "config": CONFIG}, "state_dict": {"itr": 6, "config": CONFIG}})
    imported = load(place / "G_best3.pth")
    assert is_seed(imported, 1)
    assert (imported.iterations, imported.bundle.D, imported.trained) == (5, None, {})
    assert "Settings are from state_dict_best3.pth beside it." in imported.notes
    (place / "G_best3.pth").rename(place / "mine.bin")
    assert load(place / "mine.bin").iterations == 0
    assert "has no copy 'best3'" in refusal(place / "mine.bin", copy="best3")


def test_what_is_theirs_is_told_by_its_tensors(tmp_path):
    place = put(tmp_path, {**networks(), "x": {"a": torch.ones(1)}, "state_dict": {"itr": 1, "config": {}}})
    (place / "notes.txt").write_text("x")
    (place / "cut.pth").write_bytes(b"PK\x03\x04")
    (place / "G.pth").rename(place / "weights.dat")
    held = {path.name: brock.holds(path) for path in place.iterdir()}
    assert held == {
        "weights.dat": True,
        "D.pth": True,
        "x.pth": False,
        "state_dict.pth": False,
        "notes.txt": False,
        "cut.pth": True,  # reading it says what is wrong
    }
    assert brock.holds(place)  # for D.pth
    (place / "D.pth").unlink()
    assert not brock.holds(place)
    assert not brock.holds(tmp_path / "nothing")
