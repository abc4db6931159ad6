"""A 3D convolution split into a spatial and a temporal one (Tran et al. 2018, arXiv:1711.11248), as GPUs like it."""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

MULTIPLE = 8  # channels that tensor cores take at once


class SplitConvolution(nn.Sequential):
    """Spatial convolution, norm, ReLU and temporal convolution, and whatever follows.

    On a GPU channels are filled up with zeros to a multiple of 8, which its matrix units want: those between the two,
    45 or 921 for instance, and the 3 of a clip. Zero kernels make zero channels, the norm leaves them zero, and zero
    kernels read them. The frames of a channels-last clip are convolved as images. Parameters and state dict are those
    of a `torch.nn.Sequential`, results are the same up to rounding.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Float (B, C, T, H, W) to float (B, C', T', H', W')."""
        if input.is_cuda:
            return self.for_matrix_units(input)
        output: Tensor = super().forward(input)  # type: ignore[no-untyped-call]
        return output

    def for_matrix_units(self, clip: Tensor) -> Tensor:
        """Compute ``forward`` as a GPU does."""
        spatial, norm, relu, temporal, *rest = self
        assert isinstance(spatial, nn.Conv3d) and isinstance(temporal, nn.Conv3d)
        missing = 0 if isinstance(norm, nn.GroupNorm) else -spatial.out_channels % MULTIPLE
        at_input = -spatial.in_channels % MULTIPLE
        weight = _fill(_fill(spatial.weight, 1, at_input), 0, missing)
        clip = relu(_norm(norm, _convolve_frames(_fill(clip, 1, at_input), weight, spatial), missing))
        weight = _fill(temporal.weight, 1, missing)
        clip = functional.conv3d(clip, weight, None, temporal.stride, temporal.padding)
        for module in rest:
            clip = module(clip)
        return clip


def _fill(values: Tensor, axis: int, missing: int, value: float = 0.0) -> Tensor:
    """Make an axis longer."""
    if not missing:
        return values
    return functional.pad(values, (0, 0) * (values.ndim - 1 - axis) + (0, missing), value=value)


def _norm(norm: nn.Module, clip: Tensor, missing: int) -> Tensor:
    """Normalise channels of which the last ``missing`` are zeros and stay so."""
    if not missing:
        output: Tensor = norm(clip)
        return output
    assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
    assert norm.running_mean is not None and norm.running_var is not None
    filled = {name: _fill(norm.get_parameter(name), 0, missing) for name in ("weight", "bias")}
    mean, variance = _fill(norm.running_mean, 0, missing), _fill(norm.running_var, 0, missing, 1.0)
    output = functional_call(norm, {**filled, "running_mean": mean, "running_var": variance}, (clip,))
    if norm.training:
        norm.running_mean.copy_(mean[: norm.num_features])
        norm.running_var.copy_(variance[: norm.num_features])
    return output


def _convolve_frames(clip: Tensor, weight: Tensor, convolution: nn.Conv3d) -> Tensor:
    """Convolve with a kernel of one frame."""
    stride, padding = convolution.stride, convolution.padding
    if not clip.is_contiguous(memory_format=torch.channels_last_3d):
        return functional.conv3d(clip, weight, None, stride, padding)
    assert isinstance(padding, tuple)
    images = functional.conv2d(clip.transpose(1, 2).flatten(0, 1), weight[:, :, 0], None, stride[1:], padding[1:])
    return images.view(len(clip), -1, *images.shape[1:]).transpose(1, 2)
