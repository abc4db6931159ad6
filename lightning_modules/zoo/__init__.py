"""One surface for every network: by name, with or without pretrained weights."""

from lightning_modules.zoo.create import create_network, list_networks

__all__ = ["create_network", "list_networks"]
