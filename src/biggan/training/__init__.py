"""How G and D learn: losses, regularizers, averaging, one step, the loop, and what a run saves."""
