"""Generators of pytorch-pretrained-biggan (github.com/huggingface/pytorch-pretrained-BigGAN): read, and written."""

from biggan.interop.huggingface.reading import holds, load, read
from biggan.interop.huggingface.writing import export

__all__ = ["export", "holds", "load", "read"]
