"""The checks, one file an area. The docstring of each is its contract."""
