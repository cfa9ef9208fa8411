"""What is no foreign checkpoint is refused by what it is."""

import pytest
from tiny_models import make_folder

from biggan.errors import ModelError
from biggan.interop import recognise


def test_a_model_of_ours_is_told_from_a_checkpoint(tmp_path):
    with pytest.raises(ModelError, match="is a model of ours already"):
        recognise.read(str(make_folder(tmp_path / "ours")))


def test_a_mistyped_name_is_offered_the_nearest():
    with pytest.raises(ModelError, match="did you mean 'biggan-deep-256'"):
        recognise.read("biggan-deep-255")
