"""How a command meets its process: its standard streams, and the signals that end it."""
