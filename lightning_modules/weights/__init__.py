"""Weights: published ones, our own, and what a file says of itself."""

from lightning_modules.weights.header import Header, WeightsError, describe
from lightning_modules.weights.importers import LoadReport, load_weights
from lightning_modules.weights.preprocessing import Preprocessing
from lightning_modules.weights.pretrained import load_pretrained

__all__ = ["Header", "LoadReport", "Preprocessing", "WeightsError", "describe", "load_pretrained", "load_weights"]
