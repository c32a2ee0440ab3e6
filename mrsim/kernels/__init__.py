"""Compiled arithmetic that everything above is made of: the grid, Bessel functions, phases along a row."""
