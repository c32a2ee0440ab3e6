"""The subspace of one patient's anatomy: where everything is, from a few lines."""
