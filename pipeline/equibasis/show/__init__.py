"""Pictures and tables of bases, for people."""
