"""Verdicts: whether a run is valid, whether it meets its deadline, and its result as JSON."""
