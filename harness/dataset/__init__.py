"""Datasets: a specification becomes many streams, reproducibly, with a manifest and a datasheet."""
