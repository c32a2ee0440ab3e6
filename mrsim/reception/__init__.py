"""How the signal is received: coils, their fit, the noise and what couples the channels."""
