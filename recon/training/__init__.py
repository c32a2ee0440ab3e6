"""Training: the plan, its steps, where it stands on disk, and several processes."""
