"""The thesis' tables on the embedded data: ``python -m benchmarks.reproduce``."""
