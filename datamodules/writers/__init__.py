"""Tensors to files in the formats of the real data sets, for the embedded data."""
