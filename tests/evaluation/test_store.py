"""Features are made once, in parts, wherever the work stops; what is damaged is made again."""

from pathlib import Path

import pytest
import torch
from measuring import packed, small_network

from biggan.errors import ConfigError, Interrupted
from biggan.evaluation import store
from biggan.evaluation.distances import fit_gaussian
from biggan.evaluation.images import Real, Tick, features_of
from biggan.evaluation.store import Store


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PART", 16)


def made(place: Path, count: int = 60, tick: Tick = lambda count: None, seed: int = 0) -> Store:
    images = Real(packed(place / "a.npz"))
    return Store(place / "features", small_network(seed), images, count, tick)


def never(count: int) -> None:
    raise AssertionError("made again")


def test_what_is_read_is_what_was_made(tmp_path: Path) -> None:
    ticks: list[int] = []
    first = made(tmp_path, tick=ticks.append)
    features = first.first(60)
    assert sum(ticks) == 60
    assert torch.equal(features, torch.cat([*first.parts()]))
    assert torch.equal(made(tmp_path, tick=never).first(60), features)
    whole = features_of(small_network(), Real(packed(tmp_path / "a.npz")), 0, 60, lambda count: None)
    torch.testing.assert_close(features, whole, rtol=0, atol=1e-6)


def test_more_images_cost_only_what_is_new(tmp_path: Path) -> None:
    made(tmp_path, 32).first(32)
    ticks: list[int] = []
    made(tmp_path, 48, ticks.append).first(48)
    assert sum(ticks) == 16


def test_an_interrupted_set_goes_on(tmp_path: Path) -> None:
    def stop(count: int) -> None:
        if len(list(tmp_path.rglob("0*.safetensors"))) == 2:
            raise Interrupted("Stopped.", 130)

    with pytest.raises(Interrupted):
        made(tmp_path, tick=stop).first(60)
    ticks: list[int] = []
    made(tmp_path, tick=ticks.append).first(60)
    assert sum(ticks) == 60 - 32


@pytest.mark.parametrize("kept", [0, 150, 900])
def test_a_damaged_part_is_made_again(tmp_path: Path, kept: int) -> None:
    features = made(tmp_path).first(60)
    part = sorted(tmp_path.rglob("0*.safetensors"))[1]
    content = part.read_bytes()
    part.write_bytes(content[:kept] + bytes(kept > 500) + content[kept + 1 :] if kept > 500 else content[:kept])
    ticks: list[int] = []
    assert torch.equal(made(tmp_path, tick=ticks.append).first(60), features)
    assert sum(ticks) == 16


def test_another_network_s_features_are_others(tmp_path: Path) -> None:
    assert not torch.equal(made(tmp_path).first(60), made(tmp_path, seed=1).first(60))


def test_some_are_at_random_rows_and_always_the_same(tmp_path: Path) -> None:
    whole = made(tmp_path)
    features, rows = whole.some(25)
    assert (rows.diff() > 0).all()
    assert torch.equal(features, whole.first(60)[rows])
    assert torch.equal(whole.at(torch.tensor([0, 15, 16, 59])), whole.first(60)[[0, 15, 16, 59]])
    assert torch.equal(made(tmp_path).some(25)[1], rows)
    assert torch.equal(whole.some(100)[0], whole.first(60))


@pytest.mark.parametrize("count", [10, 60])
def test_the_gaussian_is_of_all_parts_and_kept(tmp_path: Path, count: int) -> None:
    fitted, expected = made(tmp_path, count).gaussian(), fit_gaussian(made(tmp_path, count).first(count))
    torch.testing.assert_close(fitted.mean, expected.mean)
    torch.testing.assert_close(fitted.covariance, expected.covariance)
    again = made(tmp_path, count, never).gaussian()
    assert torch.equal(again.root, fitted.root)


def test_a_set_that_is_removed_is_gone(tmp_path: Path) -> None:
    whole = made(tmp_path)
    whole.first(60)
    whole.remove()
    assert not list(tmp_path.rglob("0*.safetensors"))


def test_a_cache_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "features").write_text("a file")
    with pytest.raises(ConfigError, match=r"--cache .* cannot be written"):
        made(tmp_path)
