"""Groups, spaces and representations: what acts on what, and how."""
