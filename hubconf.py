"""For torch.hub: ``torch.hub.load("FOLDER", "r2plus1d_embedded", source="local", pretrained=True)``.

Every name of ``lightning_modules.list_networks()`` is an entry point; the arguments are those of ``create_network``.
"""

from functools import partial

from lightning_modules import create_network, list_networks, load_pretrained

__all__ = ["create_network", "list_networks", "load_pretrained", *list_networks()]

dependencies = ["einops", "pytorch_lightning", "safetensors", "scipy", "torch", "torchmetrics", "torchvision"]

globals().update({name: partial(create_network, name) for name in list_networks()})
