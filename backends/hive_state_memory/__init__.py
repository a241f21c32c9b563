"""The in-memory backend: the reference that the other backends are compared with."""
