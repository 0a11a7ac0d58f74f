"""``python -m equibasis``."""

from equibasis.cli import main

if __name__ == "__main__":
    main()
