"""What is scanned: phantoms of nested regions, read from TOML, and where each region is at any instant."""
