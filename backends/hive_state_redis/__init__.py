"""The Redis backend: Redis 7 or newer, or Valkey; needs the extra `redis`."""
