"""Shards: every image has its place, and is the very file that a single picture would be."""

import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from tiny_models import NAMES, UNCONDITIONAL, make_pipeline

from biggan.data.sources import find
from biggan.errors import ConfigError
from biggan.sampling.classes import parse_classes
from biggan.sampling.pipeline import Pipeline
from biggan.sampling.shards import Order, drawing, make_shard


@pytest.fixture(scope="module")
def pipe() -> Pipeline:
    return make_pipeline()


def order_of(classes: str | None, *seeds: range, each: int = 10, names: Sequence[str] = NAMES) -> Order:
    return Order(parse_classes(classes, names), seeds, each)


def make_all(pipe: Pipeline, order: Order, folder: Path, truncation: float | None = None) -> list[Path]:
    with drawing(pipe, order, truncation, None) as draw:
        made = [make_shard(order, k, draw, folder, lambda images: None) for k in range(len(order.shards))]
    return [folder / shard.name for shard in made]


def members(paths: list[Path]) -> dict[str, bytes]:
    found = {}
    for path in paths:
        with tarfile.open(path) as tar:
            found |= {member.name: tar.extractfile(member).read() for member in tar}
    return found


def test_images_go_through_the_classes_of_each_seed_in_turn() -> None:
    order = order_of("Bag;T-shirt/top:1,Bag:2", range(5, 6), range(2, 4), range(9, 10))
    shown = [(mix.label, seed) for mix, seed in map(order.at, range(order.num_images))]
    assert shown == [(mix, seed) for seed in (5, 2, 3, 9) for mix in ("Bag", "T-shirt/top:1,Bag:2")]


@pytest.mark.parametrize("each", [1, 7, 8, 24, 100])
def test_every_image_is_in_one_shard(each: int) -> None:
    order = order_of(None, range(8), each=each)
    assert [i for shard in order.shards for i in shard] == list(range(24))
    assert all(len(shard) == each for shard in order.shards[:-1])


def test_the_largest_seeds_have_their_place() -> None:
    order = order_of("Bag", range(0, 1), range(2**63 - 2, 2**63))
    assert [seed for _, seed in map(order.at, range(3))] == [0, 2**63 - 2, 2**63 - 1]


def test_a_picture_in_a_shard_is_the_file_that_is_drawn_alone(pipe: Pipeline, tmp_path: Path) -> None:
    order = order_of("Ankle boot;Bag:2,Ankle boot:1", range(3, 20))
    found = members(make_all(pipe, order, tmp_path, truncation=0.5))
    for i in (0, 9, 10, 33):
        mix, seed = order.at(i)
        [path] = pipe(mix, 1, truncation=0.5, seed=seed).save(tmp_path / "alone")
        assert found[f"{i:09}.png"] == path.read_bytes()
        assert found[f"{i:09}.cls"] == b"%d" % (i % 2)
    assert len(found) == 2 * order.num_images


def test_shards_are_the_same_bytes_by_any_number_of_threads(pipe: Pipeline, tmp_path: Path) -> None:
    made = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        try:
            paths = make_all(pipe, order_of(None, range(30), each=64), tmp_path / str(threads))
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(1)
        made.append([path.read_bytes() for path in paths])
    assert made[0] == made[1]
    assert len(made[0]) == 2


def test_a_model_without_classes_has_pictures_alone(tmp_path: Path) -> None:
    pipe = make_pipeline(UNCONDITIONAL)
    found = members(make_all(pipe, order_of(None, range(3), names=()), tmp_path))
    assert list(found) == ["000000000.png", "000000001.png", "000000002.png"]


def test_a_shard_that_is_stopped_leaves_nothing(pipe: Pipeline, tmp_path: Path) -> None:
    def stop(images: int) -> None:
        if images > 20:
            raise KeyboardInterrupt

    order = order_of(None, range(30), each=90)
    with drawing(pipe, order, None, None) as draw, pytest.raises(KeyboardInterrupt):
        make_shard(order, 0, draw, tmp_path, stop)
    assert not list(tmp_path.iterdir())


def test_shards_are_read_as_data(pipe: Pipeline, tmp_path: Path) -> None:
    make_all(pipe, order_of("Bag;Ankle boot", range(11)), tmp_path)
    (tmp_path / "classes.txt").write_text("Bag\nAnkle boot\n")
    with find(str(tmp_path)) as found:
        assert found.class_names == ["Bag", "Ankle boot"]
        assert found.labels is not None
        assert found.labels.tolist() == [0, 1] * 11
        assert not found.skipped


MISTAKES = [
    ("Bag;2;bag", [range(1)], 10, "'Bag' is asked for twice"),
    (None, [range(1)], 0, "--shard-images is 0"),
    (None, [range(1)], 10**6 + 1, "allowed is 1 to 1,000,000"),
    (None, [range(10**9)], 10**6, "at most 1,000,000,000"),
    (None, [range(10**4)], 1, "10,000 shards of --shard-images 1"),
    (None, [range(2**63)], 10, "images are asked for"),
]


@pytest.mark.parametrize(("classes", "seeds", "each", "message"), MISTAKES)
def test_what_cannot_be_put_into_shards_is_one_sentence(
    classes: str | None, seeds: list[range], each: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        order_of(classes, *seeds, each=each)
