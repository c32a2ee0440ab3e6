"""Candidates side by side: accuracy, timing, order, and the guard against slower code."""
