"""Centred kernel alignment of two networks over 20,000 videos: seconds, and bytes beside the features.

``python -m benchmarks.cka`` makes a table. The features are random, of the sizes of R(2+1)D-18's stem and
eight blocks after the mean over time and space, drawn minibatch by minibatch; drawing them is not timed. The plain way
keeps all features in memory, which the minibatches spare, and takes the closed form of each pair of layers from them.
Each way runs in a process of its own, as memory is what it adds to the process' peak.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.record import record
from lightning_modules.analysis.cka import CenteredKernelAlignment, gram

SIZES = (64, 64, 64, 128, 128, 256, 256, 512, 512)


def features(options: argparse.Namespace) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Yields the features of all layers of two networks, float32 (n, D) each, a minibatch after the other."""
    generator = torch.Generator().manual_seed(0)
    for first in range(0, options.videos, options.batch):
        count = min(options.batch, options.videos - first)
        shared = torch.randn(count, max(SIZES), generator=generator)
        layers = [(shared[:, :size] + torch.randn(count, size, generator=generator)).relu_() for size in SIZES]
        others = [(shared[:, :size] + torch.randn(count, size, generator=generator)).relu_() for size in SIZES]
        yield layers, others


def minibatches(options: argparse.Namespace) -> tuple[float, Tensor]:
    """Ours: returns seconds and CKA, float64 (L, L)."""
    metric, seconds = CenteredKernelAlignment(len(SIZES), len(SIZES)), 0.0
    for layers, others in features(options):
        start = time.perf_counter()
        metric.update(torch.stack([gram(one) for one in layers]), torch.stack([gram(one) for one in others]))
        seconds += time.perf_counter() - start
    return seconds, metric.compute()


def at_once(options: argparse.Namespace) -> tuple[float, Tensor]:
    """The plain way: returns the same."""
    parts = list(features(options))
    start = time.perf_counter()
    layers, others = (
        [torch.cat([part[side][number] for part in parts]) for number in range(len(SIZES))] for side in (0, 1)
    )
    layers, others = ([one - one.mean(0) for one in side] for side in (layers, others))
    norms = [[torch.linalg.matrix_norm(one.T @ one) for one in side] for side in (layers, others)]
    values = [
        [torch.linalg.matrix_norm(one.T @ other) ** 2 / (norms[0][i] * norms[1][j]) for j, other in enumerate(others)]
        for i, one in enumerate(layers)
    ]
    return time.perf_counter() - start, torch.tensor(values, dtype=torch.float64)


def peak() -> int:
    """Returns the most bytes that the process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--way", choices=["minibatches", "at_once"], help="run this one alone, in this process")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.way is not None:
        before = peak()
        seconds, values = {"minibatches": minibatches, "at_once": at_once}[options.way](options)
        diagonal = ", ".join(f"{value:.3f}" for value in values.diagonal()[[0, 3, 8]])
        row = {"seconds": seconds, "MiB": (peak() - before) / 2**20, "CKA of stem, layer2.0, layer4.1": diagonal}
        print(json.dumps(row))
        return
    rows = []
    for way, label in (("minibatches", f"minibatches of {options.batch}, unbiased"), ("at_once", "all at once")):
        words = [sys.executable, "-m", "benchmarks.cka", *sys.argv[1:], "--way", way]
        run = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
        rows.append({"way": label, "videos": options.videos, **json.loads(run.stdout)})
    record("cka", {"ways": rows}, seed=0)


if __name__ == "__main__":
    main()
