"""Speed of the skeleton views against a plain per-sequence NumPy loop over the published steps.

The published steps (fmthoker/skeleton-contrast) copy a sequence of 300 frames out of the stored array, cut a part,
resize it with ``torch.nn.functional.interpolate``, and shear it or move 15 of its joints, twice; the reference does the
same, and stacks the batch. Both sides take the same 512 float32 sequences from memory (92 MB: more than a cache) and
end with two views (B, 3, 64, 25, 2) of each batch. They go through all sequences in turns, on one thread.

    python -m benchmarks.skeleton_views
    python -m benchmarks.skeleton_views --device cuda --batch_size 512
"""

import argparse

import numpy as np
import torch

from benchmarks.record import record
from benchmarks.turns import measure
from lightning_modules.views.skeleton import SkeletonAugmentation

TOTAL, FRAMES, JOINTS, PEOPLE, JITTERED = 300, 64, 25, 2, 15


class Reference:
    """One sequence at a time."""

    def __init__(self, seed: int) -> None:
        """Seed the draws."""
        self.random = np.random.default_rng(seed)

    def crop_resize(self, sequence: np.ndarray, num_frames: int) -> np.ndarray:
        """Cut a part of a tenth or more, at least 64 frames, and make 64 frames of it."""
        length = int(num_frames * self.random.uniform(0.1, 1))
        length = min(max(length, FRAMES), num_frames)
        start = self.random.integers(num_frames - length + 1)
        part = torch.tensor(sequence[:, start : start + length])
        series = part.permute(0, 2, 3, 1).reshape(1, -1, length, 1)
        series = torch.nn.functional.interpolate(series, size=(FRAMES, 1), mode="bilinear", align_corners=False)
        view = series.reshape(3, JOINTS, PEOPLE, FRAMES).permute(0, 3, 1, 2).contiguous()
        return view.numpy()

    def pose(self, view: np.ndarray) -> np.ndarray:
        """Shear all joints."""
        matrix = self.random.uniform(-1, 1, (3, 3))
        np.fill_diagonal(matrix, 1)
        return np.dot(view.copy().transpose(1, 2, 3, 0), matrix).transpose(3, 0, 1, 2)

    def jitter(self, view: np.ndarray) -> np.ndarray:
        """Move 15 joints, or set them to zero."""
        joints = self.random.choice(JOINTS, JITTERED, replace=False)
        view = view.copy()
        if self.random.random() < 0.5:
            view[:, :, joints] = 0
        else:
            moved = np.dot(view[:, :, joints].transpose(1, 2, 3, 0), self.random.uniform(-1, 1, (3, 3)))
            view[:, :, joints] = moved.transpose(3, 0, 1, 2)
        return view

    def view(self, sequence: np.ndarray, num_frames: int) -> np.ndarray:
        """Return float32 (3, 64, 25, 2)."""
        view = self.crop_resize(sequence, num_frames)
        view = self.pose(view) if self.random.random() < 0.5 else self.jitter(view)
        return view.astype(np.float32)

    def batch(self, skeleton: np.ndarray, num_frames: np.ndarray) -> list[torch.Tensor]:
        """Return two views of all sequences."""
        pairs = []
        for stored, frames in zip(skeleton, num_frames.tolist(), strict=True):
            sequence = np.array(stored)
            pairs.append((self.view(sequence, frames), self.view(sequence, frames)))
        return [torch.from_numpy(np.stack(views)) for views in zip(*pairs, strict=True)]


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="of our side; the reference runs on the CPU")
    parser.add_argument("--batch_size", type=int, default=64, help="sequences at once")
    parser.add_argument("--sequences", type=int, default=512, help="in memory")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    batch_size, device = arguments.batch_size, torch.device(arguments.device)
    generator = torch.Generator().manual_seed(0)
    skeleton = torch.randn((arguments.sequences, 3, TOTAL, JOINTS, PEOPLE), generator=generator)
    num_frames = torch.randint(40, TOTAL + 1, (arguments.sequences,), generator=generator)
    batches = list(zip(skeleton.split(batch_size), num_frames.split(batch_size), strict=True))
    on_device = [(sequences.to(device), frames.to(device)) for sequences, frames in batches]
    reference, augmentation = Reference(0), SkeletonAugmentation()

    def draw_all() -> None:
        for sequences, _ in batches:
            augmentation.draw(2 * len(sequences), generator)

    def reference_views() -> None:
        for sequences, frames in batches:
            reference.batch(sequences.numpy(), frames.numpy())

    def our_views() -> None:
        for sequences, frames in on_device:
            augmentation(sequences, frames, augmentation.draw(2 * len(sequences), generator)).chunk(2)

    medians = measure(
        {
            "reference": reference_views,
            "draw": draw_all,
            "views": our_views,
        },
        arguments.rounds,
        torch.cuda.synchronize if device.type == "cuda" else lambda: None,
    )
    rates = {name: arguments.sequences / seconds for name, seconds in medians.items()}
    rows = [
        {"work": "draw alone", "reference sequences/s": None, "ours sequences/s": rates["draw"]},
        {
            "work": "two views",
            "reference sequences/s": rates["reference"],
            "ours sequences/s": rates["views"],
            "ratio": rates["views"] / rates["reference"],
        },
    ]
    record(f"skeleton_views_{device.type}_{batch_size}", {"work": rows}, seed=0)


if __name__ == "__main__":
    main()
