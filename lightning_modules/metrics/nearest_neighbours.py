"""How far frozen features tell classes apart, without training anything."""

import torch
from torch import Tensor

MAX_BYTES = 2**28


@torch.no_grad()
def nearest_neighbours(
    bank: Tensor, queries: Tensor, k: int = 1, max_bytes: int = MAX_BYTES, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """The rows of a bank that are nearest to each query by cosine, exactly: every pair is compared, in float32.

    Part by part of both, so that memory stays bounded however many there are. Of rows whose similarities are equal the
    lowest goes first; a row of zeros has similarity 0 to all.

    Args:
        bank: float (N, D).
        queries: float (Q, D).
        k: neighbours; all of the bank when it is smaller.
        max_bytes: about what is used beside arguments and result; more than 256 MiB makes nothing faster.
        device: where to compare; where the queries are by default. The parts are copied there as they are needed.

    Returns:
        Rows of the bank, int64 (Q, k), from the nearest, and their similarities in -1..1, float32 (Q, k); both where
        the queries are.

    Raises:
        ValueError: the bank or the queries are empty or not finite, they differ in length, or a number is below 1.
    """
    check_features(bank, queries)
    if k < 1 or max_bytes < 1:
        raise ValueError(f"k={k} and max_bytes={max_bytes} must be at least 1")
    device = queries.device if device is None else device
    k = min(k, len(bank))
    # A quarter for each of the two parts, half for their similarities.
    row_bytes = 4 * bank.shape[1]
    bank_rows = min(max(max_bytes // (4 * row_bytes), 1), len(bank))
    query_rows = max(min(max_bytes // (4 * row_bytes), max_bytes // (8 * bank_rows)), 1)
    similarity = queries.new_full((len(queries), 0), 0, dtype=torch.float32, device=device)
    nearest = torch.empty((len(queries), 0), dtype=torch.int64, device=device)
    length = torch.cat([_lengths(part.to(device), "query", number) for number, part in _parts(queries, query_rows)])
    with torch.autocast(device.type, enabled=False):
        for first, bank_part in _parts(bank, bank_rows):
            known = bank_part.to(device).float()
            known = known / _lengths(known, "bank", first).unsqueeze(1)
            best = [
                # Not divided by their lengths here: the order of a query's neighbours does not depend on it.
                _highest(part.to(device).float() @ known.T, k)
                for _, part in _parts(queries, query_rows)
            ]
            similarity = torch.cat([similarity, torch.cat([values for values, _ in best])], dim=1)
            nearest = torch.cat([nearest, torch.cat([rows for _, rows in best]) + first], dim=1)
            if first:
                # Stable: earlier columns hold lower rows.
                similarity, order = similarity.sort(dim=1, descending=True, stable=True)
                similarity, nearest = similarity[:, :k], nearest.gather(1, order[:, :k])
    return nearest.to(queries.device), (similarity / length.unsqueeze(1)).to(queries.device)


def nearest_neighbour_top1(
    bank: Tensor, bank_labels: Tensor, queries: Tensor, query_labels: Tensor, k: int = 20, temperature: float = 0.07
) -> float:
    """Top-1 accuracy of a weighted k-nearest-neighbour classifier (Wu et al. 2018, arXiv:1805.01978).

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
        ValueError: as of `nearest_neighbours`.
    """
    nearest, similarity = nearest_neighbours(bank, queries, k)
    return float((vote(bank_labels[nearest], similarity, temperature) == query_labels).float().mean())


def vote(labels: Tensor, similarity: Tensor, temperature: float = 0.07) -> Tensor:
    """The class that neighbours vote for, each with weight exp(similarity / temperature).

    Args:
        labels: int64 (Q, k), from 0, of each query's neighbours.
        similarity: float (Q, k).
        temperature: of the votes.

    Returns:
        int64 (Q,).
    """
    votes = similarity.new_zeros(len(labels), int(labels.max()) + 1)
    return votes.scatter_add_(1, labels, (similarity / temperature).exp()).argmax(1)


def check_features(bank: Tensor, queries: Tensor) -> None:
    """Check that features can be compared.

    Raises:
        ValueError: there are none, or they differ in length.
    """
    if not len(bank) or not len(queries):
        raise ValueError(f"nearest neighbours need features: {len(bank)} in the bank, {len(queries)} queries")
    if bank.shape[1:] != queries.shape[1:] or bank.ndim != 2:
        raise ValueError(f"features of the bank {tuple(bank.shape)} and of the queries {tuple(queries.shape)} differ")


def _parts(rows: Tensor, size: int) -> list[tuple[int, Tensor]]:
    """Parts of at most so many rows, each with the number of its first row; nothing is copied."""
    return [(first, rows[first : first + size]) for first in range(0, len(rows), size)]


def _lengths(rows: Tensor, name: str, first: int) -> Tensor:
    """Lengths of features, float32 (N,), 1 for those of zeros.

    Raises:
        ValueError: one is not finite.
    """
    lengths = torch.linalg.vector_norm(rows.float(), dim=1)
    finite = torch.isfinite(lengths)
    if not finite.all():
        row = first + int((~finite).nonzero()[0])
        raise ValueError(f"the features of {name} {row} (counted from 0) are not finite: look at the network's weights")
    return torch.where(lengths > 0, lengths, 1.0)


def _highest(similarity: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k highest of each row, or all where there are fewer, and their columns; of equal ones the lowest column."""
    if k == 1:
        columns = similarity.argmax(1, keepdim=True)  # the first, where several are
        return similarity.gather(1, columns), columns
    values, columns = similarity.topk(min(k + 1, similarity.shape[1]), dim=1)
    if values.shape[1] > k:
        # Which of those as high as the last were taken is not defined.
        tied = values[:, k - 1] == values[:, k]
        values, columns = values[:, :k].contiguous(), columns[:, :k].contiguous()
        if tied.any():
            order = similarity[tied].argsort(dim=1, descending=True, stable=True)[:, :k]
            columns[tied], values[tied] = order, similarity[tied].gather(1, order)
    columns, order = columns.sort(dim=1)
    values, order = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return values, columns.gather(1, order)
