"""Bytes to arrays: one file per format."""
