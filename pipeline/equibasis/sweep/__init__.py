"""Sweeps: groups × spaces × solvers into a folder of basis files, on one machine or on many."""
