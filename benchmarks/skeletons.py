"""Skeleton files preprocessed per second on one core: this project's reader and steps against value-by-value Python.

``python -m benchmarks.skeletons [FILE...]`` makes a table. Without files it writes some of the embedded ones.
The reference does the work of the published script: it reads each value into a dictionary and rotates joint by joint,
in an array (1, 3, 300, 25, 2) seen as (1, 2, 300, 25, 3). Both take turns, so that other load on the machine hits both
alike: the reference goes through all files once, ours several times. The first rows of the table are parts of "read".
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import record
from benchmarks.turns import measure
from datamodules.prepare_ntu import keep_freed_memory
from datamodules.readers.decimal_text import DecimalText, plain
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
    array = np.zeros((1, 3, NUM_FRAMES, NUM_JOINTS, 2), np.float32)
    skeletons = array.transpose(0, 4, 2, 3, 1)
    actors = skeletons[0]
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
        for person, actor in enumerate(actors):
            if actor.sum() == 0:
                continue
            for time_, frame in enumerate(actor):
                if frame.sum() == 0:
                    continue
                for number, joint in enumerate(frame):
                    skeletons[0, person, time_, number] = np.dot(turn, joint)
    return array[0]


def main() -> None:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--passes", type=int, default=20, help="of ours through all files in a round")
    options = parser.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        files = options.files
        if not files:
            content = Content(1, 1, 0, 1.0)
            for name in list(content.performances())[8:12]:
                write_performance(Path(folder), content, name)
            files = sorted(Path(folder).iterdir())
        texts = [file.read_bytes() for file in files]
        found = [(words, coordinates(words)) for text in texts if (words := plain(text)) is not None]
        bodies, slow_bodies = [read(file) for file in files], [slow_read(file) for file in files]
        for ours, reference in zip(bodies, slow_bodies, strict=True):
            np.testing.assert_allclose(preprocess(ours)[0], slow_preprocess(reference), atol=1e-4)
        # What comes out is dropped at once, as after writing it; kept, it would cost new memory each time.
        ours: dict[str, tuple[Callable[..., object], list[Any]]] = {
            "bytes of the file": (Path.read_bytes, files),
            "where its words are": (plain, texts),
            "coordinates to numbers": (lambda pair: pair[0].values(pair[1]), found),
            "read": (read, files),
            "steps": (preprocess, bodies),
            "file to array": (lambda file: preprocess(read(file)), files),
        }
        references: dict[str, tuple[Callable[..., object], list[Any]]] = {
            "read": (slow_read, files),
            "steps": (slow_preprocess, slow_bodies),
            "file to array": (lambda file: slow_preprocess(slow_read(file)), files),
        }
        work: dict[str, Callable[[], object]] = {}
        for name, (run, inputs) in ours.items():
            if name in references:
                work[f"reference {name}"] = partial(through, *references[name])
            work[name] = partial(through, run, inputs * options.passes)
        seconds = measure(work, options.rounds, lambda: None)
    rows = []
    for name in ours:
        milliseconds = 1e3 * seconds[name] / options.passes / len(files)
        slow = 1e3 * seconds[f"reference {name}"] / len(files) if name in references else None
        rows.append(
            {
                "work": name,
                "reference ms a file": slow,
                "ours ms a file": milliseconds,
                "ratio": slow / milliseconds if slow else None,
            }
        )
    record("skeletons_files" if options.files else "skeletons", {"work": rows})


def through(work: Callable[..., object], inputs: list[Any]) -> None:
    """Does the work for one input after the other."""
    for one in inputs:
        work(one)


def coordinates(words: DecimalText) -> np.ndarray:
    """Numbers the words that stand first in a line of twelve."""
    last = words.last_words()
    joints = last[np.diff(last, prepend=-1) == 12]
    return (joints[:, None] - np.array([11, 10, 9])).reshape(-1)


def read(file: Path) -> np.ndarray:
    """Reads a file as ``lightning prepare ntu`` does."""
    return read_ntu(file).first(NUM_FRAMES).listed()


if __name__ == "__main__":
    main()
