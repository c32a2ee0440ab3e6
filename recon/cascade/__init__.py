"""The cascade of convolutional blocks and data consistency, and how it runs in a stream."""
