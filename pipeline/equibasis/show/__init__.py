"""Pictures and tables of bases, for people."""

import atexit
import logging
import os
import tempfile
from pathlib import Path

# Where Matplotlib cannot write to a home it does without, and says so each time.
logging.getLogger("matplotlib").setLevel(logging.ERROR)

try:
    Path.home()
except RuntimeError:  # where Matplotlib before 3.11 fails to be imported
    if "MPLCONFIGDIR" not in os.environ:
        _folder = tempfile.TemporaryDirectory(prefix="equibasis-")
        atexit.register(_folder.cleanup)
        os.environ["MPLCONFIGDIR"] = _folder.name
