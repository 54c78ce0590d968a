"""``python -m dpstruct``: the command line."""

import sys

from dpstruct.cli import main

if __name__ == "__main__":
    sys.exit(main())
