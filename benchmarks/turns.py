"""Pieces of work that take turns, so that other load on the machine hits all alike."""

import statistics
import time
from collections.abc import Callable


def measure(work: dict[str, Callable[[], object]], rounds: int, wait: Callable[[], None]) -> dict[str, float]:
    """Run every piece of work in turns, after a run that does not count, and return medians in seconds.

    Args:
        work: by name.
        rounds: runs of each that count.
        wait: returns when the device is done.
    """
    times: dict[str, list[float]] = {name: [] for name in work}
    for run in work.values():
        run()
    for _ in range(rounds):
        for name, run in work.items():
            wait()
            start = time.perf_counter()
            run()
            wait()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}
