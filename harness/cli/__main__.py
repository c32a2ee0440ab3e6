"""`python -m harness.cli`: the command line without an installed script."""

import sys

from harness.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
