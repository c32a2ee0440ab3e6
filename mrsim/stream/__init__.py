"""A scan as data: header, readouts, truth, and their storage. It needs numpy alone: everybody's floor."""
