"""Heads between a network's features and a loss."""

from torch import nn

from lightning_modules.networks.norm import GlobalBatchNorm1d, SplitBatchNorm1d, check_norm


class ProjectionHead(nn.Sequential):
    """Two-layer MLP to the space of the contrast (5.4.1); its output is not normalised to unit length.

    Float (B, in_dim) to float (B, out_dim). Without batch norm the parameters are ``0.*`` and ``2.*``, as in the head
    ``fc`` of MoCo v2 (facebookresearch/moco) and fmthoker/tubelet-contrast.

    Args:
        in_dim: Length of the features.
        hidden_dim: Width of the hidden layer; ``None``: ``in_dim``, as published.
        out_dim: Length of the output.
        batch_norm: Batch norm in the hidden layer, which lets contrast begin in small networks; over the batches of all
            processes.
        samples_per_norm: Batch statistics over parts of this many samples, see
            `lightning_modules.networks.norm.SplitBatchNorm3d`.

    Raises:
        ValueError: ``samples_per_norm`` below 2, or given without ``batch_norm``.
    """

    def __init__(
        self,
        in_dim: int,
        hidden_dim: int | None = None,
        out_dim: int = 128,
        batch_norm: bool = False,
        samples_per_norm: int | None = None,
    ) -> None:
        check_norm("batch", samples_per_norm)
        if samples_per_norm is not None and not batch_norm:
            raise ValueError(f"samples_per_norm={samples_per_norm} of the head needs batch_norm: true")
        hidden_dim = in_dim if hidden_dim is None else hidden_dim
        layers: list[nn.Module] = [nn.Linear(in_dim, hidden_dim)]
        if batch_norm and samples_per_norm is not None:
            layers.append(SplitBatchNorm1d(hidden_dim, samples_per_norm=samples_per_norm))
        elif batch_norm:
            layers.append(GlobalBatchNorm1d(hidden_dim))
        super().__init__(*layers, nn.ReLU(inplace=True), nn.Linear(hidden_dim, out_dim))
