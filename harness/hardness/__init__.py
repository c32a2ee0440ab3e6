"""How hard an anatomy is for whoever knows its past: rank, and memory score."""
