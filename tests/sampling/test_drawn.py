"""A class's file name is safe on every system and belongs to that class alone."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import make_pipeline

from biggan.errors import ConfigError
from biggan.sampling.drawn import file_stem


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.text(min_size=1, max_size=200) | st.text(st.sampled_from("aAß-~/0 "), min_size=1, max_size=3),
        min_size=1,
        max_size=6,
    )
)
def test_file_names_are_safe_and_unlike_one_another(names: list[str]) -> None:
    stems = [file_stem(name, names, str(number)) for number, name in enumerate(names)]
    for stem in stems:
        assert re.fullmatch(r"[\w.+~-]+", stem)
        assert stem[0] not in ".-"
        assert len(f"{stem}_{2**63}.png".encode()) < 200
    assert len({stem.casefold() for stem in stems}) == len(names)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("T-shirt/top", "T-shirt-top"),
        ("Ankle boot", "Ankle-boot"),
        ("../../etc/passwd", "etc-passwd"),
        ("日本", "日本"),
        ("...", "class~3"),
        ("a b", "a-b~3"),
    ],
)
def test_names_stay_readable(name: str, stem: str) -> None:
    assert file_stem(name, [name, "a:b", "A b"] if name == "a b" else [name], "3") == stem


def test_a_sheet_is_saved_as_png_only(tmp_path: Path) -> None:
    drawn = make_pipeline()()
    drawn.save_sheet(tmp_path / "deep" / "a.png")
    assert (tmp_path / "deep" / "a.png").exists()
    with pytest.raises(ConfigError, match=r"name it \.png"):
        drawn.save_sheet(tmp_path / "a.jpg")
