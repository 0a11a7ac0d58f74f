"""Whether a clean clone of a DVC project makes what dvc.lock records; repair after a kill."""
