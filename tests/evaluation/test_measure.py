"""Every measurement on a tiny model, its record, and what is refused before anything is computed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from measuring import packed, small_network
from tiny_models import UNCONDITIONAL, make_pipeline

from biggan.data.packed import Packed
from biggan.errors import ConfigError, DataError, UserError
from biggan.evaluation.distances import fit_gaussian, frechet_distance, kernel_distance
from biggan.evaluation.material import Material, Split
from biggan.evaluation.measure import METRICS, check, measured, usual
from biggan.evaluation.names import KINDS, parse_names
from biggan.models.statistics import Table
from biggan.sampling.pipeline import Pipeline

AT = "@efficientnet_lite0_32px"


def material(
    place: Path,
    pipe: Pipeline | None = None,
    splits: Sequence[Split] = ("train", "test"),
    truncation: float | None = None,
    classes: int = 3,
    shown: list[str] | None = None,
) -> Material:
    """A tiny model and noise, seen by a tiny network under the name of the packaged one."""
    packs: dict[Split, Packed] = {
        split: packed(place / f"{split}.npz", 60 if split == "train" else 45, classes, seed=len(split))
        for split in splits
    }

    def progress(what: str, done: int, total: int) -> None:
        if shown is not None:
            shown.append(f"{what} {done}/{total}")

    made = Material(pipe or make_pipeline(), packs, 5, truncation, None, place / "kept", None, progress)
    made.networks["efficientnet_lite0", 32] = small_network()
    return made


def test_every_metric_of_the_grammar_is_made() -> None:
    assert METRICS.keys() == KINDS.keys()


def test_each_measurement_gives_finite_figures_and_a_record(tmp_path: Path) -> None:
    names = [f"{metric}45_train{AT}" for metric in ("fd", "kid", "pr", "dc", "ifd", "acc", "cas", "copies", "trunc")]
    asked = parse_names(",".join([*names, f"score45{AT}", "d45"]))
    records = list(measured(asked, material(tmp_path)))
    assert [record["name"] for record in records] == [str(m) for m in asked]
    for record in records:
        assert all(torch.tensor([*record["values"].values(), *record["errors"].values()]).isfinite()), record
        assert record["errors"].keys() <= record["values"].keys()
        assert all(error >= 0 for error in record["errors"].values())
        assert record["seeds"] == [5, 49]
    assert not list((tmp_path / "kept").rglob("*drawn*"))


def test_a_record_says_all_that_was_done(tmp_path: Path) -> None:
    pipe = make_pipeline()
    some = material(tmp_path, pipe, truncation=0.5)
    (record,) = measured(parse_names(f"kid40_test{AT}"), some)
    assert (record["drawn_images"], record["real_images"], record["split"]) == (40, 45, "test")
    assert record["network"] == {
        "name": "small",
        "sha256": "0" * 64,
        "resize": "bicubic without antialiasing",
        "size": 32,
    }
    assert record["real_sha256"] == {"test": some.packs["test"].sha256}
    assert (record["truncation"], record["statistics"]) == (0.5, "standing, of truncation 0.5")
    assert record["weights"]["sha256"] == pipe.bundle.sha256
    assert record["classes"] == "as often as in the training images"
    assert record["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize(
    ("name", "looked"),
    [
        (f"acc45_train{AT}", {"train", "test"}),
        (f"acc45_test{AT}", {"test"}),
        (f"copies45_train{AT}", {"train", "test"}),
        (f"cas45_train{AT}", {"train"}),
        (f"score45{AT}", set()),
        ("d45", {"train", "test"}),
    ],
)
def test_a_record_names_the_real_images_that_were_looked_at_and_no_others(
    name: str, looked: set[str], tmp_path: Path
) -> None:
    (record,) = measured(parse_names(name), material(tmp_path))
    assert record["real_sha256"].keys() == looked


def test_a_record_says_if_held_out_images_were_not_compared_with_the_training_images(tmp_path: Path) -> None:
    asked = parse_names(f"kid45_test{AT}")
    (alone,) = measured(asked, material(tmp_path, splits=["test"]))
    (compared,) = measured(asked, material(tmp_path))
    assert "Not compared with the training images" in alone["notes"][-1]
    assert "--data has that done" in alone["notes"][-1]
    assert not any("Not compared" in note for note in compared["notes"])


def test_held_out_images_of_other_classes_are_no_yardstick_and_not_named(tmp_path: Path) -> None:
    some = material(tmp_path)
    some.labels["test"] = None
    (record,) = measured(parse_names(f"acc45_train{AT}"), some)
    assert record["real_sha256"].keys() == {"train"}


def test_the_figures_are_those_of_the_pure_metrics(tmp_path: Path) -> None:
    some = material(tmp_path)
    (kid, fd) = parse_names(f"kid40_train{AT},fd40_train{AT}")
    records = list(measured([kid, fd], some))
    real, fake = some.real(kid).first(60), some.drawn_features(kid)
    assert records[0]["values"]["distance"] == pytest.approx(kernel_distance(real, fake).value)
    expected = frechet_distance(fit_gaussian(real), fake)
    assert records[1]["values"]["distance"] == pytest.approx(expected)
    assert records[1]["values"].keys() == {"distance", "of infinitely many"}  # 40 images, 16 features


def test_few_images_say_that_their_bias_is_not_known(tmp_path: Path) -> None:
    (record,) = measured(parse_names(f"fd31_train{AT}"), material(tmp_path))
    assert record["values"].keys() == {"distance"}
    assert "bias of few images" in record["notes"][0]


def test_real_features_are_made_once_and_drawn_ones_are_not_kept(tmp_path: Path) -> None:
    first, second = list[str](), list[str]()
    list(measured(parse_names(f"kid40_train{AT},pr40_train{AT}"), material(tmp_path, shown=first)))
    list(measured(parse_names(f"kid40_train{AT}"), material(tmp_path, shown=second)))
    assert sorted(first) == ["features of drawn images 40/40", "features of train images 60/60"]
    assert second == ["features of drawn images 40/40"]


def test_copies_of_training_images_are_found_and_shown(tmp_path: Path) -> None:
    some = material(tmp_path)
    (m,) = parse_names(f"copies40_train{AT}")
    (record,) = measured([m], some)
    assert set(record["values"]) == {"copies", "authentic"}
    pairs = record["nearest"]
    assert [pair["distance"] for pair in pairs] == sorted(pair["distance"] for pair in pairs)
    assert all(5 <= pair["seed"] < 45 and 0 <= pair["image"] < 60 for pair in pairs)


def test_without_held_out_images_copies_are_not_told(tmp_path: Path) -> None:
    (record,) = measured(parse_names(f"copies40_train{AT}"), material(tmp_path, splits=("train",)))
    assert set(record["values"]) == {"authentic"}
    assert "Without held-out images (--test-data)" in record["notes"][0]
    (other,) = measured(parse_names(f"copies40_test{AT}"), material(tmp_path, splits=("test",)))
    assert "Without training images (--data)" in other["notes"][0]


def test_a_set_of_one_image_ranks_nothing(tmp_path: Path) -> None:
    some = material(tmp_path)
    one = some.packs["test"]
    some.packs["test"] = replace(one, images=one.images[:1], labels=one.labels[:1])
    with pytest.raises(DataError, match="--metrics d45 needs two images, and --test-data has one"):
        next(measured(parse_names("d45"), some))


def test_a_model_that_cannot_be_truncated_so_far_is_told_before_anything_is_drawn(tmp_path: Path) -> None:
    pipe = make_pipeline()
    tables = pipe.bundle.statistics.tables
    tables["truncation"] = Table(torch.tensor([0.2, 0.5]), dict(tables["truncation"].values))
    asked = parse_names(f"trunc45_train{AT}")
    with pytest.raises(ConfigError, match=r"--metrics trunc45_train.* draws at truncations 0.2, .* from 0.2 to 0.5"):
        check(asked, material(tmp_path, pipe))


def test_a_model_of_others_is_not_said_to_be_averaged(tmp_path: Path) -> None:
    pipe = make_pipeline()
    pipe.bundle.training["imported from"] = "BigGAN-PyTorch (G.pth)"
    (record,) = measured(parse_names(f"kid45_train{AT}"), material(tmp_path, pipe))
    assert (record["weights"]["generator"], record["statistics"]) == ("as imported", "as imported")


def test_what_the_model_draws_of_its_classes_is_judged_by_the_real_ones(tmp_path: Path) -> None:
    (record,) = measured(parse_names(f"acc40_train{AT}"), material(tmp_path))
    assert record["values"]["held-out real images"] == 1  # classes differ in brightness
    assert record["classes_each"].keys() == {"T-shirt/top", "Bag", "Ankle boot"}


def test_the_classes_are_matched_by_name_whatever_their_order(tmp_path: Path) -> None:
    pipe = make_pipeline(names=["Bag", "Ankle boot", "T-shirt/top"])
    some = material(tmp_path, pipe)
    given = some.packs["train"].labels
    assert given is not None
    expected = [pipe.class_names.index(some.packs["train"].class_names[label]) for label in given]
    (asked,) = parse_names(f"acc40_train{AT}")
    assert some.classes("train", asked).tolist() == expected


def test_a_model_without_classes_is_measured_where_none_are_needed(tmp_path: Path) -> None:
    pipe = make_pipeline(replace(UNCONDITIONAL, image_channels=1))
    records = list(measured(parse_names(f"kid40_train{AT},d40"), material(tmp_path, pipe)))
    assert records[0]["classes"] == "none"
    with pytest.raises(DataError, match="needs classes"):
        check(parse_names(f"acc40_train{AT}"), material(tmp_path, pipe))


def test_what_is_usual_can_be_done(tmp_path: Path) -> None:
    some = material(tmp_path)
    names = [str(m) for m in usual(some)]
    assert names[0] == "kid2k_train@efficientnet_lite0_96px"
    assert {"pr45_test@efficientnet_lite0_96px", "d2k"} <= set(names)
    check(usual(some), some)


def test_what_is_usual_leaves_out_what_cannot_be_done(tmp_path: Path) -> None:
    for name in ("one", "bare"):
        (tmp_path / name).mkdir()
    one = material(tmp_path / "one", classes=1)
    assert not [m for m in usual(one) if m.metric == "acc"]
    check(usual(one), one)
    bare = material(tmp_path / "bare")
    bare.labels["test"] = None
    assert not [m for m in usual(bare) if m.metric == "d"]
    check(usual(bare), bare)


def test_the_errors_of_what_d_says_are_by_the_images_that_it_saw(tmp_path: Path) -> None:
    (record,) = measured(parse_names("d1000"), material(tmp_path))
    values, errors = record["values"], record["errors"]
    for name, count in (("train called real", 60), ("test called real", 45), ("drawn called drawn", 1000)):
        assert errors[name] == pytest.approx((values[name] * (1 - values[name]) / count) ** 0.5)


@pytest.mark.parametrize(
    ("name", "splits", "message"),
    [
        (f"kid40_test{AT}", ("train",), "needs test images; give --test-data"),
        ("d40", (), "needs real images; give --data"),
        ("fid40_train", ("train",), r"needs the weights of the 2015 Inception network; give them \(--inception\)"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_computed(
    tmp_path: Path, name: str, splits: tuple[Split, ...], message: str
) -> None:
    shown: list[str] = []
    with pytest.raises(UserError, match=message):
        list(measured(parse_names(f"score40{AT},{name}"), material(tmp_path, splits=splits, shown=shown)))
    assert shown == []


def test_more_real_images_than_there_are_is_refused_and_nothing_is_hidden(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs 61 real images, as many as drawn, and --data has 60"):
        list(measured(parse_names(f"pr61_train{AT}"), material(tmp_path)))


def test_a_curve_of_more_images_than_there_are_real_ones_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--metrics trunc61_train.* needs 61 real images, as many as drawn"):
        list(measured(parse_names(f"trunc61_train{AT}"), material(tmp_path)))


def test_a_model_without_a_discriminator_has_none_to_ask(tmp_path: Path) -> None:
    pipe = make_pipeline()
    pipe.bundle.D = None
    with pytest.raises(UserError, match="saved without its discriminator"):
        check(parse_names("d40"), material(tmp_path, pipe))
    assert "d2k" not in [str(m) for m in usual(material(tmp_path, pipe))]


def test_a_truncation_curve_and_a_truncation_do_not_go_together(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="truncates by itself"):
        check(parse_names(f"trunc40_train{AT}"), material(tmp_path, truncation=0.5))
