"""Reconstructors: readouts in, images out. Needs numpy and torch; numba makes the patients' images sooner."""
