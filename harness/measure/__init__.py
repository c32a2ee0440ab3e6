"""Measures of a run: latency, image quality, the lag of the target, and their intervals."""
