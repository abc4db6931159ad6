"""Seconds from an official list to the samples of a data module, for lists as long as that of Kinetics-400.

``python -m benchmarks.lists [--rows N]`` writes N empty video files in 400 class folders, with an official CSV and a
list file, and makes a table: the least of a few runs, in seconds of processor time, so that other load on the
machine does not count.
"""

import argparse
import random
import string
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.record import record
from datamodules import KineticsDataModule
from datamodules.kinetics import COLUMNS, VideoIndex, read_csv, read_list
from datamodules.sample_list import SampleList
from datamodules.sampling.few_labels import uniform

CLASSES = 400


def write(root: Path, rows: int) -> None:
    """Write the files and both lists."""
    generator = random.Random(0)
    ids = ["".join(generator.choices(string.ascii_letters + string.digits + "-_", k=11)) for _ in range(rows)]
    for label in range(CLASSES):
        (root / "train" / f"class {label}").mkdir(parents=True)
    with (root / "train.csv").open("w") as table, (root / "train.txt").open("w") as plain:
        print(*COLUMNS, "split", "is_cc", sep=",", file=table)
        for row, name in enumerate(ids):
            label, start = row % CLASSES, row % 300
            file = f"class {label}/{name}_{start:06d}_{start + 10:06d}.mp4"
            (root / "train" / file).touch()
            print(f"class {label}", name, start, start + 10, "train", 0, sep=",", file=table)
            print(file, label, file=plain)


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Least processor time of some runs."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=240_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root, arguments.rows)
        listed = read_list(root / "train.txt", 0, CLASSES)
        samples = SampleList((row.name, int(row.label or 0)) for row in listed)
        work: dict[str, Callable[[], object]] = {
            "read the official CSV": lambda: read_csv(root / "train.csv", "train"),
            "read a list of `path label`": lambda: read_list(root / "train.txt", 0, CLASSES),
            "scan the folder": lambda: VideoIndex(root),
            "hold the paths and labels": lambda: SampleList((row.name, 0) for row in listed),
            "choose 1,000 samples": lambda: uniform(samples, 1000, 0),
            "set the data module up, all of the above": lambda: KineticsDataModule(
                root, train_list="train.csv", samples=1000
            ).setup("fit"),
        }
        rows: list[dict[str, object]] = [
            {"work": name, "videos": arguments.rows, "seconds": seconds(run, arguments.rounds)}
            for name, run in work.items()
        ]
    record("lists", {"work": rows}, seed=0)


if __name__ == "__main__":
    main()
