"""Pictures: stills of phantoms, patients and methods, and the moving picture of what is behind."""
