"""How the target is found in an image: the plan from the first breaths, an outline, or a registration."""
