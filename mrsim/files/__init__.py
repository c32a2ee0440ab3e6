"""Files of the disk: one writer, whole or not at all, and one reader that trusts nothing it reads."""
