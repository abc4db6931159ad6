"""How far frozen features tell classes apart, without training anything."""

import torch
from torch import Tensor
from torch.nn import functional


@torch.no_grad()
def nearest_neighbour_top1(
    bank: Tensor, bank_labels: Tensor, queries: Tensor, query_labels: Tensor, k: int = 20, temperature: float = 0.07
) -> float:
    """Top-1 accuracy of a weighted k-nearest-neighbour classifier (Wu et al. 2018, arXiv:1805.01978).

    The k nearest by cosine vote for their class with weight exp(similarity / temperature).

    Args:
        bank: float (N, D), features with known labels.
        bank_labels: int64 (N,), from 0.
        queries: float (Q, D).
        query_labels: int64 (Q,).
        k: neighbours; all of the bank when it is smaller.
        temperature: of the votes.

    Returns:
        Accuracy in 0..1.

    Raises:
        ValueError: the bank or the queries are empty.
    """
    if not len(bank) or not len(queries):
        raise ValueError(f"nearest neighbours need features: {len(bank)} in the bank, {len(queries)} queries")
    bank = functional.normalize(bank.float(), dim=1)
    num_classes = int(bank_labels.max()) + 1
    right = 0
    for query, label in zip(torch.split(queries, 1024), torch.split(query_labels, 1024), strict=True):
        similarity, nearest = (functional.normalize(query.float(), dim=1) @ bank.T).topk(min(k, len(bank)), dim=1)
        votes = torch.zeros(len(query), num_classes, device=bank.device)
        votes.scatter_add_(1, bank_labels[nearest], (similarity / temperature).exp())
        right += int((votes.argmax(1) == label).sum())
    return right / len(queries)
