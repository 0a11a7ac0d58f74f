"""Pictures and tables of bases, for people."""

import logging

# Where there is no home it does without a folder for its cache, and says so each time.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
