"""Opponents without a network: zero-filled, shared lines, compressed sensing, parallel imaging, low rank."""
