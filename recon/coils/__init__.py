"""Several coils as one image: sensitivities, their combination, and the waves that describe them."""
