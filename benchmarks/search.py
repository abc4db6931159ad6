"""Time of finding the nearest of many features: a plain product of the mapped array, and faiss.

    python -m benchmarks.search --rows 1000000 --width 512

The array lies in a file that is mapped, as in ``lightning_modules.feature_index``. faiss is measured where it is
installed; its array lies in memory. The features are random: an exact search takes as long with any.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.record import record
from lightning_modules.feature_index import cosines
from lightning_modules.metrics.nearest_neighbours import nearest_neighbours


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="for the file; a temporary one by default")
    parser.add_argument("--cells", type=int, default=1024, help="of faiss' inverted file; 0 leaves it out")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    ways: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for dtype in (np.float32, np.float16):
            rows = write(Path(folder, np.dtype(dtype).name), options.rows, options.width, dtype)
            query = np.asarray(rows[options.rows // 2], np.float32)
            name = f"ours: chunked product of a mapped {np.dtype(dtype).name} file, exact"
            ways.append(measure(name, options.repeats, partial(top, rows, query)))
        rows = np.memmap(Path(folder, "float32"), np.float32, "c", shape=(options.rows, options.width))
        query = np.array(rows[options.rows // 2])
        bank, queries = torch.from_numpy(np.asarray(rows)), torch.from_numpy(query)[None]
        name = "`nearest_neighbours`, which checks and normalises the bank each time"
        ways.append(measure(name, 2, partial(nearest_neighbours, bank, queries, 10)))
        ways += measure_faiss(np.array(rows), query, options)
    record("search", {"ways": ways}, seed=0)


def write(path: Path, rows: int, width: int, dtype: type) -> np.ndarray:
    """Write random rows of unit length, part by part, and map them."""
    array = np.memmap(path, dtype, "w+", shape=(rows, width))
    generator = np.random.default_rng(0)
    for first in range(0, rows, 65536):
        part = generator.standard_normal((min(65536, rows - first), width), np.float32)
        array[first : first + len(part)] = part / np.linalg.norm(part, axis=1, keepdims=True)
    array.flush()
    return np.memmap(path, dtype, "c", shape=(rows, width))


def top(rows: np.ndarray, query: np.ndarray) -> np.ndarray:
    """The ten nearest rows."""
    similarity = cosines(rows, query)
    best = np.argpartition(-similarity, 9)[:10]
    return np.asarray(best[np.argsort(-similarity[best])])


def measure(name: str, repeats: int, work: Callable[[], object]) -> dict[str, object]:
    """The median and the best of several times; the first, which fills caches, is left out.

    The time of the cores does not depend on what else the machine does.
    """
    work()
    times, of_cores = [], []
    for _ in range(repeats):
        start, start_of_cores = time.perf_counter(), time.process_time()
        work()
        times.append(1e3 * (time.perf_counter() - start))
        of_cores.append(1e3 * (time.process_time() - start_of_cores))
    return {
        "way": name,
        "of cores, ms": np.median(of_cores),
        "median wall, ms": np.median(times),
        "best wall, ms": min(times),
    }


def measure_faiss(rows: np.ndarray, query: np.ndarray, options: argparse.Namespace) -> list[dict[str, object]]:
    """Measure faiss' exact index, and its inverted file."""
    try:
        import faiss
    except ImportError:
        return [{"way": "faiss-cpu: not measured, not installed"}]
    faiss.omp_set_num_threads(options.threads)
    flat = faiss.IndexFlatIP(options.width)
    flat.add(rows)
    name = "faiss-cpu `IndexFlatIP`, in memory, exact"
    ways = [measure(name, options.repeats, partial(flat.search, query[None], 10))]
    del flat
    if options.cells:
        start = time.perf_counter()
        inverted = faiss.index_factory(options.width, f"IVF{options.cells},Flat", faiss.METRIC_INNER_PRODUCT)
        inverted.train(rows[: 64 * options.cells])
        inverted.add(rows)
        making = time.perf_counter() - start
        inverted.nprobe = 16
        name = f"faiss-cpu `IVF{options.cells},Flat`, 16 cells looked at, approximate"
        row = measure(name, options.repeats, partial(inverted.search, query[None], 10))
        ways.append(row | {"made in, s": making})
    return ways


if __name__ == "__main__":
    main()
