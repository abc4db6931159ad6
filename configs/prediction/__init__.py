"""``lightning predict --input`` and ``lightning search``: what a checkpoint says of any files."""
