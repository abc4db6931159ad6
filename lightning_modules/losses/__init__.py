"""Losses: one equation a file."""
