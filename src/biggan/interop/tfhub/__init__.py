"""The six TF-Hub modules: biggan-128, -256, -512 (version 2) and biggan-deep-128, -256, -512 (version 1)."""

from biggan.interop.tfhub.reading import holds, load, read
from biggan.interop.tfhub.variables import from_variables

__all__ = ["from_variables", "holds", "load", "read"]
