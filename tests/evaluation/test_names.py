"""A name says what is done: what is read, how it is written again, and what is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biggan.errors import ConfigError
from biggan.evaluation.names import KINDS, NETWORKS, Measurement, parse_name, parse_names


def named(
    metric: str, count: int, split: str | None = "train", network: str = "inception", size: int | None = None
) -> Measurement:
    return Measurement(metric=metric, count=count, split=split, network=network, size=size)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fid50k_train", named("fid", 50_000)),
        ("kid2k_test@efficientnet_lite0", named("kid", 2000, "test", "efficientnet_lite0")),
        ("pr500_train@efficientnet_lite2_96px", named("pr", 500, "train", "efficientnet_lite2", 96)),
        ("is50k", named("is", 50_000, None)),
        ("score2k@efficientnet_lite0", named("score", 2000, None, "efficientnet_lite0")),
        ("d1500", named("d", 1500, None, "")),
        (" kid2k_train ", named("kid", 2000)),
    ],
)
def test_a_name_says_metric_images_split_network_and_size(name: str, expected: Measurement) -> None:
    assert parse_name(name) == expected
    assert str(expected) == name.strip()


def test_the_inception_network_goes_without_saying() -> None:
    assert str(parse_name("kid2k_test@inception")) == "kid2k_test"
    assert str(parse_name("kid2000_test")) == "kid2k_test"


@settings(deadline=None)
@given(
    st.sampled_from(sorted(KINDS)),
    st.integers(20, 9_999_999),
    st.sampled_from(["train", "test"]),
    st.sampled_from(["inception", *NETWORKS]),
    st.none() | st.integers(32, 999),
)
def test_what_is_written_is_read_back(metric: str, count: int, split: str, network: str, size: int | None) -> None:
    kind = KINDS[metric]
    network = "" if not kind.sees else "inception" if kind.only_inception else network
    if network == "inception" and kind.other and not kind.only_inception:
        network = "efficientnet_lite0"
    size = size if network in NETWORKS else None
    measurement = named(metric, count, split if kind.compares else None, network, size)
    assert parse_name(str(measurement)) == measurement


def test_names_in_a_list_come_in_order_and_once() -> None:
    assert [str(each) for each in parse_names("d2k, kid2k_train,d2000")] == ["d2k", "kid2k_train"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is not a measurement; write it as kid2k_train@efficientnet_lite0"),
        ("fid", "is not a measurement"),
        ("fid50k-train", "is not a measurement"),
        ("fod50k_train", "there is no metric 'fod'; did you mean 'fd'"),
        ("zzz50k_train", "allowed is fid, fd, kid"),
        ("fid19_train", "19 drawn images are too few; ask for at least 20"),
        ("fid50k", "does not say with which real images; write _train"),
        ("kid2k_valid", "_valid is neither; write _train"),
        ("is50k_train", "compares with no one split; leave out _train"),
        ("d2k@inception", "needs no network; leave out @inception"),
        ("kid2k_train@efficient_net0", "there is no network 'efficient_net0'; did you mean 'efficientnet_lite0'"),
        ("fid50k_train@efficientnet_lite0", "only the 2015 Inception network's numbers are called fid; write fd"),
        ("is50k@efficientnet_lite0", "only the 2015 Inception network's numbers are called is; write score"),
        ("fd50k_train", "this is called fid; write that, or another network"),
        ("score2k", "this is called is; write that"),
        ("kid2k_train@inception_96px", "sees images at 299 px; leave out _96px"),
    ],
)
def test_a_name_that_says_nothing_or_something_else_is_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_name(name)
    assert message in str(refused.value)
