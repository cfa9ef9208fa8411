"""Lists of seeds and numbers as they are written, and what is refused."""

import pytest

from biggan.cli.drawing import parse_numbers, parse_seeds
from biggan.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0", [0]),
        ("0,3,7-9", [0, 3, 7, 8, 9]),
        (" 2 , 1 - 3 ", [2, 1, 2, 3]),
        ("5-5", [5]),
        (str(2**63 - 1), [2**63 - 1]),
    ],
)
def test_seeds_are_listed_in_the_order_written(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text", ["", ",", "1,", "-1", "1--2", "1-2-3", "a", "1.5", "3-1", "0-99999999999", str(2**63), "9" * 5000, "²"]
)
def test_other_texts_are_not_seeds(text: str) -> None:
    with pytest.raises(ConfigError, match="--seeds"):
        parse_seeds(text)


def test_numbers_are_listed() -> None:
    assert parse_numbers("0.1, 1,2e-1", "--values") == [0.1, 1.0, 0.2]
    for text in ("", "1,", "x"):
        with pytest.raises(ConfigError, match="--values"):
            parse_numbers(text, "--values")
