"""Checkpoints of BigGAN-PyTorch (github.com/ajbrock/BigGAN-PyTorch): read, and written."""

from biggan.interop.brock.files import holds
from biggan.interop.brock.reading import load
from biggan.interop.brock.writing import export

__all__ = ["export", "holds", "load"]
