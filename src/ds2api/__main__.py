"""``python -m ds2api``: the command line."""

import sys

from ds2api.cli import main

if __name__ == "__main__":
    sys.exit(main())
