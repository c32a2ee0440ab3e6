"""The scanner: a phantom, a protocol and a seed make a stream, line by line."""
