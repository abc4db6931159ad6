"""Exact nearest neighbours of NTU-60 cross-subject in seconds and bytes, against two plain ways.

``python -m benchmarks.nearest_neighbours`` makes a table for a bank of 40,091 and 16,487 queries of 2,048
random numbers. The plain ways, one query after the other and SciPy's ``cdist``, take a sample of the queries and are
scaled to all of them. Memory is what ours adds to the process' peak.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.spatial.distance import cdist
from torch import Tensor

from benchmarks.record import record
from lightning_modules.metrics.nearest_neighbours import nearest_neighbours


def one_by_one(bank: Tensor, queries: Tensor) -> Tensor:
    """Takes one query after the other.

    Args:
        bank: float32 (N, D), of unit length.
        queries: float32 (Q, D).

    Returns:
        int64 (Q,), row of the nearest.
    """
    return torch.stack([(bank @ query).argmax() for query in queries])


def pairwise(bank: Tensor, queries: Tensor) -> Tensor:
    """Takes all distances at once, with SciPy; arguments and result are those of `one_by_one`."""
    return torch.from_numpy(cdist(queries.numpy(), bank.numpy(), "cosine").argmin(1))


def peak() -> int:
    """Returns the most bytes that the process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Returns seconds, and what the work gave."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def main() -> None:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bank", type=int, default=40_091)
    parser.add_argument("--queries", type=int, default=16_487)
    parser.add_argument("--feature_dim", type=int, default=2048)
    parser.add_argument("--k", type=int, default=1)
    parser.add_argument("--max_bytes", type=int, default=2**28)
    parser.add_argument("--sample", type=int, default=64, help="queries of the plain ways")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    generator = torch.Generator().manual_seed(0)
    bank = torch.randn(options.bank, options.feature_dim, generator=generator)
    queries = torch.randn(options.queries, options.feature_dim, generator=generator)
    operations = 2 * options.bank * options.queries * options.feature_dim
    before = peak()
    seconds, nearest = timed(lambda: nearest_neighbours(bank, queries, options.k, options.max_bytes)[0])
    memory = (peak() - before) / 2**20
    features = (bank.nbytes + queries.nbytes) / 2**20
    taken = {f"ours, k = {options.k}": seconds}
    side = min(4096, options.bank)
    square = bank[:side]
    fastest = (
        operations
        / (2 * side * side * options.feature_dim)
        * min(timed(lambda: square @ square.T)[0] for _ in range(5))
    )
    taken[f"bare products of {side:,} rows, best of 5, scaled"] = fastest
    unit = torch.nn.functional.normalize(bank, dim=1)
    for name, way in (("one query at a time", one_by_one), ("SciPy's `cdist`", pairwise)):
        seconds, found = timed(lambda way=way: way(unit, queries[: options.sample]))
        taken[f"{name}, {len(found)} of them, scaled"] = seconds * options.queries / len(found)
        np.testing.assert_array_equal(found, nearest[: len(found), 0])
    rows = [{"way": name, "seconds": seconds, "GFLOP/s": operations / seconds / 1e9} for name, seconds in taken.items()]
    rows[0] |= {"MiB beside the features": memory, "MiB of the features": features}
    record("nearest_neighbours", {"ways": rows}, seed=0)


if __name__ == "__main__":
    main()
