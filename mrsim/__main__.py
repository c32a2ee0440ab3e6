"""`python -m mrsim`: the command line, which is the bench's; this package knows it by name alone."""

import runpy

if __name__ == "__main__":
    runpy.run_module("harness.cli", run_name="__main__")
