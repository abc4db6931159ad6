"""Which frames, in which order: integers only."""
