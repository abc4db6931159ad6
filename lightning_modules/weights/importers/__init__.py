"""Importers of weights, one file for each source, and the loader that chooses among them."""

from lightning_modules.weights.importers.load import LoadReport, load_each, load_weights

__all__ = ["LoadReport", "load_each", "load_weights"]
