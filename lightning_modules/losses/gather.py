"""Exchange between the ranks of a distributed run."""

from typing import Any

import torch
from torch import Tensor, distributed

from lightning_modules.views.memory import upload


def world() -> tuple[int, int]:
    """This process' rank and the number of processes: (0, 1) when not distributed."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


@torch.no_grad()
def all_gather(rows: Tensor, equal: bool = False) -> Tensor:
    """Join the rows of all ranks in the order of the ranks; no gradient flows.

    Args:
        rows: (B, ...), B may differ between the ranks.
        equal: B is the same on every rank: a GPU need not be waited for to tell.

    Returns:
        (G, ...), the same on every rank.
    """
    _, size = world()
    if size == 1:
        return rows.detach()
    if equal:
        joined = rows.new_empty((size, *rows.shape))
        distributed.all_gather(list(joined), rows.contiguous())
        return joined.flatten(0, 1)
    counts = [torch.zeros(1, dtype=torch.long, device=rows.device) for _ in range(size)]
    distributed.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    lengths = [int(count) for count in counts]
    longest = max(lengths)
    padded = rows.new_zeros((longest, *rows.shape[1:]))
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in range(size)]
    distributed.all_gather(parts, padded)
    return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])


@torch.no_grad()
def mean_over_ranks(values: Tensor) -> Tensor:
    """Mean of all ranks' values, of any shape, which is the same on every rank; no gradient flows."""
    _, size = world()
    if size == 1:
        return values.detach()
    summed = values.detach().clone()
    distributed.all_reduce(summed)
    return summed / size


@torch.no_grad()
def exchange(rows: Tensor, order: Tensor) -> Tensor:
    """Deal the rows of all ranks out anew; no gradient flows.

    A rank sends and receives its own number of rows, however many ranks there are: gathered, the clips of a global
    batch would fill each of them.

    Args:
        rows: (B, ...), B the same on every rank.
        order: int64 (G,) on the CPU, a permutation of the global batch's rows, the same on every rank.

    Returns:
        (B, ...), rank r's being the rows ``order[r * B : (r + 1) * B]`` of the global batch.
    """
    rank, size = world()
    order = order.reshape(size, -1)
    if size == 1:
        return rows[upload(order[0], rows.device)]
    source = order // len(rows)
    sent = [to[frm == rank] - rank * len(rows) for to, frm in zip(order, source, strict=True)]
    received = torch.empty(rows.shape, dtype=rows.dtype, device=rows.device)
    distributed.all_to_all_single(
        received,
        rows[upload(torch.cat(sent), rows.device)].contiguous(),
        torch.bincount(source[rank], minlength=size).tolist(),
        [len(part) for part in sent],
    )
    by_source = source[rank].argsort(stable=True)  # the places of what came, in the order in which it came
    return received[upload(by_source.argsort(), rows.device)]


def gather_dicts(own: dict[Any, Any]) -> dict[Any, Any]:
    """Join the dictionaries of all ranks; of equal keys that of the highest rank holds."""
    _, size = world()
    parts: list[dict[Any, Any]] = [own] * size
    if size > 1:
        distributed.all_gather_object(parts, own)
    return {key: value for part in parts for key, value in part.items()}
