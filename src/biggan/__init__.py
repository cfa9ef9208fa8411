"""BigGAN made real: train, draw and share class-conditional image generators on the machine you have."""

__version__ = "0.1.0"
