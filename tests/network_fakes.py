"""Random clips and weights that a seed fixes, and how other code names them."""

import torch
from torch import Tensor, nn

from lightning_modules.networks import I3D, R3D, VideoNetwork


def random_clip(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def draw_weights(network: nn.Module) -> None:
    """Weights that a seed fixes whatever the network's own initialisation."""
    generator = torch.Generator().manual_seed(0)
    for key, value in network.state_dict().items():
        if key.endswith("running_var"):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        elif value.ndim > 1:
            value.copy_(torch.randn(value.shape, generator=generator) * 1.4 / value[0].numel() ** 0.5)
        elif value.is_floating_point():
            value.copy_(0.1 * torch.randn(value.shape, generator=generator) + key.endswith("weight"))


def pyvrl_name(key: str) -> str:
    """How pyvrl/models/backbones/r3d.py of CtP and tubelet-contrast names a tensor of ours."""
    layers = {
        "stem.0": "stem.conv_s",
        "stem.1": "stem.bn_s",
        "stem.3": "stem.conv_t",
        "stem.4": "stem.bn_t",
        "conv1.0.0": "conv1.conv_s",
        "conv1.0.1": "conv1.bn_s",
        "conv1.0.3": "conv1.conv_t",
        "conv1.1": "bn1",
        "conv2.0.0": "conv2.conv_s",
        "conv2.0.1": "conv2.bn_s",
        "conv2.0.3": "conv2.conv_t",
        "conv2.1": "bn2",
        "conv1.0": "conv1.conv",
        "conv2.0": "conv2.conv",
        "downsample.0": "downsample.conv",
        "downsample.1": "downsample_bn",
    }
    owner, name = key.rsplit(".", 1)
    block = ".".join(owner.split(".")[:2]) + "." if owner.startswith("layer") else ""
    return f"{block}{layers[owner.removeprefix(block)]}.{name}"


def pyvrl_state(network: VideoNetwork, prefix: str) -> dict[str, Tensor]:
    state = network.state_dict()
    if isinstance(network, I3D):
        return {prefix + key: value for key, value in state.items()}
    names = {key: pyvrl_name(key) for key in state}
    if isinstance(network, R3D):
        stem = {"stem.conv_s": "stem.conv", "stem.bn_s": "stem.bn"}
        names = {
            k: stem[v.rsplit(".", 1)[0]] + "." + v.rsplit(".", 1)[1] if k[:4] == "stem" else v for k, v in names.items()
        }
    return {prefix + names[key]: value for key, value in state.items()}
