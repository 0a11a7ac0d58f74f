"""``python -m equibasis``, without the current folder, which Python puts first on its path then."""

import os
import sys

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120

if __name__ == "__main__":
    # Before anything is imported: what lies in a folder is not run because one looks into it.
    if sys.path[0] != _OURS and sys.path[0] == os.path.abspath(os.curdir):  # noqa: PTH100
        del sys.path[0]
    from equibasis.cli import main

    main()
