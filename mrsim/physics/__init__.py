"""What a tissue gives in an image: the bSSFP steady state, slice profiles, relaxation times."""
