"""Measures of learnt features."""
