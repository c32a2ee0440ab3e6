"""A cine's twin: a reference moved by a few fields, with what they leave, and courses that drive them."""
