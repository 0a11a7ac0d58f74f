"""Matrices and their decompositions; no group is known here."""
