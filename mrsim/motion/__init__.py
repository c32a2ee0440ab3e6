"""How things move: breathing, the heart, recorded traces, and the courses that follow from them."""
