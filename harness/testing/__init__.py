"""The test kit for authors of a reconstructor, and its pytest plugin."""
