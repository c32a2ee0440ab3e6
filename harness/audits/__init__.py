"""Audits: what a reconstructor must not do, and what must hold whatever goes wrong."""
