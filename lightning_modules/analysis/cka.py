"""Linear centred kernel alignment of layers, in minibatches (thesis figures 4.4 and B.9).

Nguyen et al. 2021 (arXiv:2010.15327), section 3: instead of the features of all samples, which do not fit into memory,
unbiased estimates of HSIC (Song et al. 2012, JMLR 13) from Gram matrices of minibatches are averaged. What is kept
does not grow with the number of samples.
"""

import torch
from torch import Tensor
from torchmetrics import Metric

MIN_SAMPLES = 4  # of a minibatch: the estimate divides by n - 3


class CenteredKernelAlignment(Metric):
    """CKA of each layer of one network with each layer of another, over all minibatches and processes.

    A minibatch of n samples counts n times, so that a short last one does not disturb more than its share. Kept are
    float64 sums for each pair of layers.

    Args:
        num_layers: of the one network, L.
        num_others: of the other, M.
    """

    cross: Tensor
    own: Tensor
    others: Tensor
    samples: Tensor

    def __init__(self, num_layers: int, num_others: int) -> None:
        super().__init__()
        for name, shape in (("cross", (num_layers, num_others)), ("own", (num_layers,)), ("others", (num_others,))):
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("samples", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, layers: Tensor, others: Tensor) -> None:
        """Count a minibatch.

        Args:
            layers: float (L, n, n), Gram matrices of the one network, see `gram`.
            others: float (M, n, n), of the other, of the same samples in the same order.

        Raises:
            ValueError: the minibatch has less than 4 samples.
        """
        samples = layers.shape[1]
        self.cross += samples * unbiased_hsic(layers, others)
        for sums, grams in ((self.own, layers), (self.others, others)):
            sums += samples * torch.stack([unbiased_hsic(gram[None], gram[None])[0, 0] for gram in grams])
        self.samples += samples

    def compute(self) -> Tensor:
        """CKA, float64 (L, M): 1 where layers are equal but for a rotation and a factor; NaN for a constant layer."""
        scale = self.own.clamp(min=0).sqrt()[:, None] * self.others.clamp(min=0).sqrt()
        return torch.where(scale > 0, self.cross / scale, torch.nan)


def gram(features: Tensor) -> Tensor:
    """Gram matrix of the features of a minibatch, float32 (n, ...) to float32 (n, n).

    The mean over the minibatch is taken away first: `unbiased_hsic` does not depend on it, and the features of a ReLU
    are far from zero, which would cost digits.
    """
    flat = features.flatten(1).float()
    flat = flat - flat.mean(0)
    return flat @ flat.T


def unbiased_hsic(layers: Tensor, others: Tensor) -> Tensor:
    """Unbiased estimate of the Hilbert-Schmidt independence criterion (Nguyen et al. 2021, equation 3).

    Args:
        layers: float (L, n, n), Gram matrices.
        others: float (M, n, n).

    Returns:
        float64 (L, M), of each pair; below zero too, where there is no dependence.

    Raises:
        ValueError: there are less than 4 samples.
    """
    count = layers.shape[1]
    if count < MIN_SAMPLES:
        raise ValueError(f"a minibatch of {count} samples is too small to estimate HSIC: take at least {MIN_SAMPLES}")
    first, second = (grams.double() * (1 - torch.eye(count, device=grams.device)) for grams in (layers, others))
    row, column = first.sum(2), second.sum(2)  # (L, n), (M, n)
    trace = first.flatten(1) @ second.flatten(1).T
    sums = row.sum(1)[:, None] * column.sum(1) / ((count - 1) * (count - 2))
    return (trace + sums - 2 / (count - 2) * row @ column.T) / (count * (count - 3))
