"""A trained generator as an instrument: pictures from text."""
