"""``python pipeline COMMAND``: the commands of this very tree, whatever is installed.

Python puts this file's folder first on its path, so that ``equibasis`` and ``digits`` are the ones
beside it. The stages in dvc.yaml run so: in a worktree, a clone or a queued experiment each runs
its own code.
"""

import sys

if __name__ == "__main__":
    try:
        from digits.cli import main
    except ModuleNotFoundError as error:
        print(
            f"equibasis: {sys.executable} has no module {error.name!r}: run 'make install', and "
            "activate .venv",
            file=sys.stderr,
        )
        sys.exit(2)
    main()
