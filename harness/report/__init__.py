"""Reports: the page of a run, and pictures of runs and phantoms."""
