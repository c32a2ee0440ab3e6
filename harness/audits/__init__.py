"""Audits of a reconstructor, invariants that hold under every fault, and the conformance checks."""
