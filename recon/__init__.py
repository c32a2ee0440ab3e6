"""Reconstructors: readouts in, images out. Needs numpy and torch; never numba."""
