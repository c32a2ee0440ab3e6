"""Shipped weights: arrays in `.npz` files, each with its record."""
