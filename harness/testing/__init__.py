"""The test kit for whoever brings a reconstructor, and its pytest plugin."""
