"""Verdicts: what a run claims, whether it may be judged at all, and its result as JSON."""
