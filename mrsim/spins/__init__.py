"""The Bloch engine: the scan spin by spin, with transients and off-resonance."""
