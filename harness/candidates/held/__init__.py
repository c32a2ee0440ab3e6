"""What a candidate's own process may reach: which files, which calls of the system, and who it runs as."""
