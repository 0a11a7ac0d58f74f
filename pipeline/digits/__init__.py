"""The digits experiment: autoencoders with and without symmetry, outside the library."""
