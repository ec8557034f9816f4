"""The command of ``make bench``; see ``benchmarks/compare.py``."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # A script's own folder is where Python looks for modules; ours are named from the repository's root.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from benchmarks.compare import main

    main()
