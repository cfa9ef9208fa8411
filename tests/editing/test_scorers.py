"""A scorer is what the user calls it."""

import pytest

from biggan.editing.scorers import load_scorer
from biggan.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("word", "did you mean 'words'"),
        ("CLIP", "did you mean 'clip'"),
        ("dall-e", "give words, clip, or clip:FOLDER"),
        ("clip:", "There is no scorer 'clip:'"),
        ("words:128", "There is no scorer 'words:128'"),
        ("", "There is no scorer ''"),
    ],
)
def test_a_scorer_that_is_not_there_is_refused_with_those_that_are(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_scorer(text)
