"""Phantom definitions and the tissue table: data only."""
