"""Normalisation layers of the video networks."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.distributed.nn
from torch import Tensor, distributed, nn
from torch.nn import functional

Norm = Literal["batch", "group"]

NormLayer = Callable[[int], nn.Module]
"""Builds a norm from its number of channels."""


class GlobalBatchNorm1d(nn.BatchNorm1d):
    """Batch norm of (B, C) over the batches of all processes, on any device; parameters are `torch.nn.BatchNorm1d`'s.

    A global batch is so normalised alike on any number of processes; `torch.nn.SyncBatchNorm` runs on GPUs only.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``input``, float (B, C); B may differ between the processes."""
        if not (self.training and distributed.is_available() and distributed.is_initialized()):
            return super().forward(input)
        self._check_input_dim(input)
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        values = input.float()
        count = values.new_tensor([float(len(values))])
        count, total = torch.split(_sum_over_processes(torch.cat([count, values.sum(dim=0)])), [1, self.num_features])
        mean = total / count
        variance = _sum_over_processes((values - mean).square().sum(dim=0)) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            unbiased = variance * (count / (count - 1).clamp(min=1))
            self.running_var.lerp_(unbiased.to(self.running_var), self.momentum)
        normalised = (values - mean) * (variance + self.eps).rsqrt()
        return (normalised * self.weight + self.bias).to(input.dtype)


def _sum_over_processes(values: Tensor) -> Tensor:
    summed: Tensor = distributed.nn.functional.all_reduce(values)  # type: ignore[no-untyped-call]  # passes gradients
    return summed


class SplitBatchNorm1d(nn.BatchNorm1d):
    """Batch norm of (B, C) or (B, C, L) with statistics over consecutive parts of the batch, see `SplitBatchNorm3d`."""

    def __init__(self, num_features: int, eps: float = 1e-5, *, samples_per_norm: int) -> None:
        super().__init__(num_features, eps)
        self.samples_per_norm = samples_per_norm

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``input``, float (B, C) or (B, C, L)."""
        self._check_input_dim(input)
        return _split_batch_norm(self, input, self.samples_per_norm) if self.training else super().forward(input)


class BatchNorm3d(nn.BatchNorm3d):
    """`torch.nn.BatchNorm3d`, whose channels-last clips go through the several times faster kernels for images."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``input``, float (B, C, T, H, W)."""
        self._check_input_dim(input)
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        if self.training:
            self.num_batches_tracked.add_(1)
        return _batch_norm(self, input, self.running_mean, self.running_var, self.training, self.momentum)


def _batch_norm(
    module: nn.BatchNorm1d | nn.BatchNorm3d,
    input: Tensor,
    mean: Tensor,
    variance: Tensor,
    training: bool,
    momentum: float,
) -> Tensor:
    images = input.ndim == 5 and input.is_contiguous(memory_format=torch.channels_last_3d)
    # Compiled, batch norm has kernels of its own, and Inductor would copy what is clips, images and clips again.
    images = images and not torch.compiler.is_compiling()
    rows = input.transpose(1, 2).flatten(0, 1) if images else input  # (B * T, C, H, W), the same memory
    rows = functional.batch_norm(rows, mean, variance, module.weight, module.bias, training, momentum, module.eps)
    return rows.view(input.shape[0], -1, *rows.shape[1:]).transpose(1, 2) if images else rows


class SplitBatchNorm3d(nn.BatchNorm3d):
    """Batch norm of (B, C, T, H, W) with statistics over consecutive parts of the batch ("virtual devices").

    One process that normalises a batch of 64 in parts of 32 computes what two processes of 32 compute without
    synchronised batch norm. With shuffled keys it so cures momentum contrast's leak through batch statistics (He et al.
    2020, arXiv:1911.05722, section 3.3) on a single device. Evaluation and state dict are `torch.nn.BatchNorm3d`'s.

    The running statistics move once a forward, towards the mean of the parts' statistics. The last part may be
    smaller; a single sample left over joins the part before it, as one sample alone may have no variance.

    Args:
        num_features: C, number of channels.
        eps: Added to the variance.
        samples_per_norm: Samples in each part.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, *, samples_per_norm: int) -> None:
        super().__init__(num_features, eps)
        self.samples_per_norm = samples_per_norm

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``input``, float (B, C, T, H, W)."""
        self._check_input_dim(input)
        return _split_batch_norm(self, input, self.samples_per_norm) if self.training else super().forward(input)


def _split_batch_norm(module: nn.BatchNorm1d | nn.BatchNorm3d, input: Tensor, samples_per_norm: int) -> Tensor:
    assert module.running_mean is not None and module.running_var is not None
    assert module.num_batches_tracked is not None and module.momentum is not None
    sizes = [len(part) for part in torch.split(input, samples_per_norm)]
    if len(sizes) > 1 and sizes[-1] == 1:
        sizes[-2:] = [samples_per_norm + 1]
    # A momentum of 1 makes batch_norm write each part's own statistics, without a second pass over the input.
    means = torch.zeros(len(sizes), input.shape[1], dtype=module.running_mean.dtype, device=input.device)
    variances = torch.ones_like(means)
    parts = [
        _batch_norm(module, part, mean, variance, True, 1.0)
        for part, mean, variance in zip(torch.split(input, sizes), means, variances, strict=True)
    ]
    with torch.no_grad():
        module.num_batches_tracked += 1
        module.running_mean.lerp_(means.mean(dim=0), module.momentum)
        module.running_var.lerp_(variances.mean(dim=0), module.momentum)
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def check_norm(norm: Norm, samples_per_norm: int | None) -> None:
    """Check the arguments that choose a norm.

    Raises:
        ValueError: Unknown ``norm``, ``samples_per_norm`` below 2, or given without batch norm.
    """
    if norm not in ("batch", "group"):
        raise ValueError(f"norm must be 'batch' or 'group', is {norm!r}")
    if samples_per_norm is not None and norm != "batch":
        raise ValueError(f"samples_per_norm={samples_per_norm} needs norm: batch; leave it out with norm: {norm}")
    if samples_per_norm is not None and samples_per_norm < 2:
        raise ValueError(f"samples_per_norm must be at least 2, is {samples_per_norm}; null normalises the whole batch")


def norm_3d(channels: int, norm: Norm = "batch", samples_per_norm: int | None = None, eps: float = 1e-5) -> nn.Module:
    """Norm layer for (B, C, T, H, W).

    Args:
        channels: C.
        norm: ``batch``, or ``group`` (Wu & He 2018, arXiv:1803.08494: no statistics over samples), in up to 32 groups
            of at least four channels.
        samples_per_norm: Batch statistics over parts of this many samples, see `SplitBatchNorm3d`; ``None``: over all.
        eps: Added to the variance of either norm.
    """
    if norm == "group":
        most = max(1, min(32, channels // 4))
        return nn.GroupNorm(next(groups for groups in range(most, 0, -1) if channels % groups == 0), channels, eps)
    if samples_per_norm is None:
        return BatchNorm3d(channels, eps)
    return SplitBatchNorm3d(channels, eps, samples_per_norm=samples_per_norm)
