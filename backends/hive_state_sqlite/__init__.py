"""The SQLite backend: the default store, one file."""
