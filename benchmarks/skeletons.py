"""Skeleton files preprocessed per second on one core: this project's reader and steps against value-by-value Python.

``python benchmarks/skeletons.py [FILE...]`` prints a markdown table. Without files it writes some of the embedded ones.
The reference does the work of the published script: it reads each value into a dictionary and rotates joint by joint.
Both take turns, file by file, so that other load on the machine hits both alike; the table has the medians.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # runs from a checkout too

from datamodules.readers.skeleton import NUM_JOINTS, read_ntu
from datamodules.synthetic_ntu import Content, write_performance
from datamodules.transforms.skeleton import NUM_FRAMES, preprocess, rotation_onto

FIELDS = ("x", "y", "z", "u", "v", "cu", "cv", "qw", "qx", "qy", "qz", "tracking")


def slow_read(file: Path, max_bodies: int = 4) -> np.ndarray:
    """Reads value by value.

    Returns:
        float64 (M, T, 25, 3).
    """
    frames = []
    with file.open() as stream:
        for _ in range(int(stream.readline())):
            bodies = []
            for _ in range(int(stream.readline())):
                header = [float(word) for word in stream.readline().split()]
                joints = [
                    {name: float(word) for name, word in zip(FIELDS, stream.readline().split(), strict=True)}
                    for _ in range(int(stream.readline()))
                ]
                bodies.append({"header": header, "joints": joints})
            frames.append(bodies)
    sequences = np.zeros((max_bodies, len(frames), NUM_JOINTS, 3))
    for time_, bodies in enumerate(frames):
        for place, body in enumerate(bodies[:max_bodies]):
            for number, joint in enumerate(body["joints"]):
                sequences[place, time_, number] = [joint["x"], joint["y"], joint["z"]]
    return sequences


def slow_preprocess(sequences: np.ndarray) -> np.ndarray:
    """Takes the published steps with a loop over frames and joints.

    Returns:
        float32 (3, 300, 25, 2).
    """
    deviations = []
    for body in sequences:
        seen = body[body.sum(-1).sum(-1) != 0]
        deviations.append(sum(seen[..., axis].std() for axis in range(3)) if len(seen) else 0)
    chosen = np.array(deviations).argsort()[::-1][:2]
    actors = np.zeros((2, NUM_FRAMES, NUM_JOINTS, 3), np.float32)
    actors[:, : sequences.shape[1]] = sequences[chosen]
    for actor in actors:
        if not actor.any():
            continue
        if not actor[0].any():
            kept = actor[actor.any((1, 2))].copy()
            actor[:] = 0
            actor[: len(kept)] = kept
        for number, frame in enumerate(actor):
            if frame.sum() == 0 and actor[number:].sum() == 0:
                rest = NUM_FRAMES - number
                actor[number:] = np.concatenate([actor[:number]] * (rest // number + 1))[:rest]
                break
    origin = actors[0, :, 1:2].copy()
    for actor in actors:
        if actor.any():
            actor[:] = (actor - origin) * (actor.sum(-1) != 0)[..., None]
    for start, end, axis in ((0, 1, [0, 0, 1]), (4, 8, [1, 0, 0])):
        turn = rotation_onto(actors[0, 0, end] - actors[0, 0, start], np.array(axis, float))
        for actor in actors:
            if not actor.any():
                continue
            for frame in actor:
                if frame.sum() == 0:
                    continue
                for number, joint in enumerate(frame):
                    frame[number] = np.dot(turn, joint)
    return actors.transpose(3, 1, 2, 0)


def timed(work: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:  # noqa: ANN401 - any work
    """Returns milliseconds, and what the work gave."""
    start = time.perf_counter()
    result = work(*arguments)
    return 1e3 * (time.perf_counter() - start), result


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = options.files
        if not files:
            content = Content(1, 1, 0, 1.0)
            for name in list(content.performances())[8:12]:
                write_performance(Path(folder), content, name)
            files = sorted(Path(folder).iterdir())
        rows: dict[str, tuple[list[float], list[float]]] = {"read": ([], []), "preprocess": ([], []), "both": ([], [])}
        for file in files * options.repeats:
            read, recording = timed(lambda file=file: read_ntu(file).first(NUM_FRAMES).listed())
            steps, (ours, _) = timed(preprocess, recording)
            slow, sequences = timed(slow_read, file)
            slow_steps, reference = timed(slow_preprocess, sequences)
            np.testing.assert_allclose(ours, reference, atol=1e-4)
            for name, pair in (
                ("read", (slow, read)),
                ("preprocess", (slow_steps, steps)),
                ("both", (slow + slow_steps, read + steps)),
            ):
                for values, value in zip(rows[name], pair, strict=True):
                    values.append(value)
    print("| work | reference ms/file | ours ms/file | ratio |\n|---|---|---|---|")
    for name, (reference_times, our_times) in rows.items():
        reference_ms, ours_ms = statistics.median(reference_times), statistics.median(our_times)
        print(f"| {name} | {reference_ms:.2f} | {ours_ms:.2f} | {reference_ms / ours_ms:.0f} |")
    print(f"\n{1e3 / statistics.median(rows['both'][1]):.0f} files/s on one core, {len(files)} files")


if __name__ == "__main__":
    main()
