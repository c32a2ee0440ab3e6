"""Measures: latency, image quality, the target and how far behind it is shown, intervals."""
