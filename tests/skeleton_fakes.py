"""Tiny ``.skeleton`` files for the tests, of bodies that come and go, and prepared sequences."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from datamodules.ntu_protocol import SampleName, parse_name
from datamodules.skeleton_dataset import COLUMNS

FIRST_ID = 72057594037931101


def standing_body(num_frames: int = 8, seed: int = 0, shift: float = 0.0, energy: float = 0.2) -> np.ndarray:
    """One body of random joints, no two of them alike, no coordinate zero.

    Returns:
        float64 (num_frames, 25, 3), metres, rounded as in the files.
    """
    generator = np.random.default_rng(seed)
    pose = generator.uniform(-0.8, 0.8, (1, 25, 3)) + np.array([shift, 0.3, 3])
    return np.round(pose + energy * generator.standard_normal((num_frames, 25, 3)), 6)


def skeleton_text(frames: Sequence[Mapping[int, np.ndarray]], newline: str = "\n") -> bytes:
    r"""Write the text of a ``.skeleton`` file.

    Args:
        frames: joints (25, 3) of each body by its number, frame by frame, in the order to write.
        newline: "\n" or "\r\n".
    """
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for number, joints in bodies.items():
            lines += [f"{FIRST_ID + number} 0 1 1 1 1 0 0.02764709 0.05745083 2", "25"]
            lines += [
                f"{x:.7g} {y:.7g} {z:.7g} 277.419 191.8218 1036.233 519.1677 -0.2059 0.0535 0.9692 -0.1239 2"
                for x, y, z in joints
            ]
    return "".join(line + newline for line in lines).encode()


def write_skeleton(path: Path, num_frames: int = 8, bodies: int = 1, seed: int = 0) -> Path:
    """Write a ``.skeleton`` file of bodies that stay throughout."""
    sequences = [standing_body(num_frames, seed + 100 * body, body * 1.0) for body in range(bodies)]
    frames = [{body: sequence[time] for body, sequence in enumerate(sequences)} for time in range(num_frames)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(skeleton_text(frames))
    return path


def write_prepared(folder: Path, train: int = 24, val: int = 12, num_classes: int = 3, num_frames: int = 80) -> Path:
    """Write what ``lightning prepare ntu`` makes: noise around a pose for each class, told apart easily.

    Subject 1 is for training and subject 3 for testing by ``xsub``; the classes take turns. Sequences are up to 7
    frames shorter than ``num_frames``, and every other one is of one actor.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    actions = np.concatenate([np.arange(train), np.arange(val)]) % num_classes
    poses = generator.normal(size=(num_classes, 3, 1, 25, 2))
    noise = 0.3 * generator.normal(size=(train + val, 3, num_frames, 25, 2))
    sequences = (poses[actions] + noise).astype(np.float32)
    sequences[::2, ..., 1] = 0
    frames = num_frames - np.arange(train + val) % 8
    np.save(folder / "skeletons.npy", sequences)
    np.save(folder / "num_frames.npy", frames)
    with (folder / "index.csv").open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(("name", "subject", "camera", "setup", "action", "frames"))
        for row, action in enumerate(actions):
            subject = 1 if row < train else 3
            name = f"S{row + 1:03d}C001P{subject:03d}R003A{action + 1:03d}"
            lines.writerow((name, subject, 1, 1, action + 1, frames[row]))
    return folder


def write_cache(folder, names, num_frames=300, seed=0):
    """A cache of few frames, whose first value is the row."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = 1 + np.arange(len(names)) % num_frames
    array = np.zeros((len(names), 3, num_frames, 25, 2), np.float32)
    array[:, 0, 0, 0, 0] = np.arange(len(names))
    np.save(folder / "skeletons.npy", array)
    write_index(folder, names, frames)
    return folder


def write_index(folder, names, frames):
    """The index of a cache of NTU RGB+D."""
    with (folder / "index.csv").open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(COLUMNS)
        for name, count in zip(names, frames, strict=True):
            of = parse_name(name)
            lines.writerow([name, of.subject, of.camera, of.setup, of.action, count])
    np.save(folder / "num_frames.npy", np.array(frames, np.int64))


def names(count=24):
    """Names of several subjects, cameras, setups and actions."""
    return [str(SampleName(i % 3 + 1, i % 3 + 1, i % 8 + 1, 1, i % 5 + 1)) for i in range(count)]


def write_actions(folder: Path, classes: int = 3, frames: int = 20, noise: float = 0.1, repetitions: int = 2) -> Path:
    """Write prepared sequences: a pose and its motion for each class, noise, and two actors in the last class.

    Subjects 1, 2 and 4 are to train with in ``xsub``, 3, 6 and 7 to test with.

    Returns:
        The folder, a root of ``NTUSkeletonDataModule``.
    """
    random = np.random.default_rng(0)
    poses = random.normal(size=(classes, 3, 1, 25, 2))
    motions = random.normal(size=(classes, 3, 1, 25, 2)) * np.linspace(-1, 1, frames)[:, None, None]
    lines, sequences = ["name,subject,camera,setup,action,frames"], []
    for subject in (1, 2, 3, 4, 6, 7):
        for repetition in range(1, repetitions + 1):
            for action in range(1, classes + 1):
                sequence = poses[action - 1] + motions[action - 1]
                sequence = sequence + noise * random.normal(size=sequence.shape)
                if action < classes:
                    sequence[..., 1] = 0
                lines.append(
                    f"S001C001P{subject:03d}R{repetition:03d}A{action:03d},{subject},1,1,{action},{frames - subject}"
                )
                sequences.append(sequence)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "skeletons.npy", np.stack(sequences).astype(np.float32))
    np.save(folder / "num_frames.npy", np.array([int(line.rpartition(",")[2]) for line in lines[1:]]))
    (folder / "index.csv").write_text("\n".join(lines) + "\n")
    return folder
