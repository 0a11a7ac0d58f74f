"""The basis file: written, read, verified, cached, fetched and exported."""
