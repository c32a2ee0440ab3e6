"""Candidates: a string becomes a reconstructor, in this process or one of its own."""
