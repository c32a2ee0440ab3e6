"""Cheats: hostile candidates, a module a kind, and the table of what catches each."""
