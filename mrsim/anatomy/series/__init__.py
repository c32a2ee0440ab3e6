"""A cine as an anatomy: its frames, where its target is in each, and what was there in between."""
