"""The bench: replays a stream into a reconstructor at the scanner's pace and gives a verdict."""
