"""Commands that make what is scanned, and scans: phantoms, patients, streams, datasets, other files."""
