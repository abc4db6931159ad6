"""Speed of the tubelet augmentation against a plain per-frame NumPy/OpenCV loop over the published steps.

The published steps (fmthoker/tubelet-contrast) rotate every patch and its opacity once for each clip and cut what
reaches out of the frame with index arrays; so does the reference. Both sides take the same uint8 clips from memory
(16 frames, 128 x 171) and end with normalised float32 clips of 112 x 112. They run in turns, on one thread; the table
gives medians in milliseconds a pair.

    python -m benchmarks.tubelets
    python -m benchmarks.tubelets --device cuda --batch_size 128
"""

import argparse
import itertools

import cv2
import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from benchmarks.record import record
from benchmarks.turns import measure
from lightning_modules.views.clip import ClipAugmentation, flip, normalise, recolour_
from lightning_modules.views.memory import empty
from lightning_modules.views.tubelets import TubeletParameters, Tubelets

NUM_FRAMES, HEIGHT, WIDTH, SIDE = 16, 128, 171, 112
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


class Reference:
    """Two tubelets, non-linear motion and rotation, frame by frame in NumPy and OpenCV."""

    def __init__(self, seed: int) -> None:
        """Seed the draws."""
        self.random = np.random.default_rng(seed)

    def key_frames(self) -> np.ndarray:
        """Draw the first, the last and up to two inner frames."""
        num_inner = self.random.choice(3, p=[0.5, 0.3, 0.2])
        distance = NUM_FRAMES / (num_inner + 1)
        reach = int(distance / 3)
        inner = [int(distance * i) + self.random.integers(-reach, reach) for i in range(1, num_inner + 1)]
        return np.unique([0, *inner, NUM_FRAMES - 1])

    def spread(self, values: np.ndarray, keys: np.ndarray, bend: bool) -> np.ndarray:
        """Interpolate (K, ...) values over all frames."""
        frames = np.empty((NUM_FRAMES, *values.shape[1:]))
        for i, (start, end) in enumerate(itertools.pairwise(keys)):
            fraction = np.arange(end - start + 1) / (end - start)
            if bend:
                kind = self.random.choice(3, p=[0.7, 0.15, 0.15])
                fraction = (fraction, fraction**2, 1 - (1 - fraction) ** 2)[kind]
            fraction = fraction.reshape(-1, *[1] * (values.ndim - 1))
            frames[start : end + 1] = values[i] + fraction * (values[i + 1] - values[i])
        return frames

    def boxes(self) -> np.ndarray:
        """Draw a size and a path: int (T, 4), x1, y1, x2, y2, cut to the frame."""
        scale = self.random.choice([16, 24, 28, 32, 48, 64])
        ratio = np.sqrt(self.random.choice([0.5, 0.67, 0.75, 1.0, 1.33, 1.5, 2.0]))
        size = np.array([scale * ratio, scale / ratio]) * np.exp(self.random.uniform(-0.18, 0.18, 2))
        size = np.clip(size, 1, SIDE - 1)
        extent = self.random.integers(20, 90)
        centre = np.empty((NUM_FRAMES, 2))
        for axis in range(2):
            path = gaussian_filter1d(self.random.uniform(0, SIDE, 48), sigma=8)
            path = (path - path.min()) / np.ptp(path) * extent + self.random.integers(0, SIDE - extent)
            centre[:, axis] = path[np.round(np.linspace(0, 47, NUM_FRAMES)).astype(int)].astype(int)
        boxes = np.concatenate((centre - size / 2, centre + size / 2), axis=1)
        return np.round(np.clip(boxes, 0, SIDE)).astype(int)

    def patches(self, clip: list[np.ndarray], boxes: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Crop a patch and give it a shape, at the size of each frame."""
        crop_frame = self.random.integers(NUM_FRAMES)
        x1, y1, x2, y2 = boxes[crop_frame]
        patch = clip[crop_frame][y1:y2, x1:x2]
        width, height = x2 - x1, y2 - y1
        x = np.abs(np.arange(width, dtype=np.float32) - (width - 1) // 2) / width
        y = np.abs(np.arange(height, dtype=np.float32) - (height - 1) // 2)[:, None] / height
        shape = self.random.choice(3, p=[0.5, 0.35, 0.15])
        distance = (np.maximum(x, y), np.sqrt(x**2 + y**2), x + y)[shape]
        alpha = np.ones_like(distance) if shape == 0 else (distance < 0.5).astype(np.float32)
        if self.random.random() < 0.5:
            edge = self.random.uniform(0.30, 0.45)
            alpha = alpha * np.clip((0.5 - distance) / (0.5 - edge), 0, 1)
        keys = self.key_frames()
        opacity = self.spread(self.random.uniform(0.8, 1.0, len(keys)), keys, bend=False)
        sizes = [(int(box[2] - box[0]), int(box[3] - box[1])) for box in boxes]
        return (
            [cv2.resize(patch, size) for size in sizes],
            [cv2.resize(alpha, size) * opacity[t] for t, size in enumerate(sizes)],
        )

    def paste(self, clip: list[np.ndarray], tubelets: list[tuple], angles: np.ndarray) -> list[np.ndarray]:
        """Rotate and blend every patch in every frame."""
        pasted = []
        for t, frame in enumerate(clip):
            frame = frame.copy()
            for m, (boxes, patches, alphas) in enumerate(tubelets):
                patch, alpha = rotate(patches[t], angles[t, m]), rotate(alphas[t], angles[t, m])
                height, width = alpha.shape
                left = (boxes[t, 0] + boxes[t, 2] - width) // 2
                top = (boxes[t, 1] + boxes[t, 3] - height) // 2
                x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + width, SIDE), min(top + height, SIDE)
                alpha = alpha[:, :, None]
                if (y2 - y1, x2 - x1) != (height, width):
                    rows, columns, channels = np.indices((y2 - y1, x2 - x1, 3))
                    patch = patch[rows + y1 - top, columns + x1 - left, channels]
                    rows, columns = np.indices((y2 - y1, x2 - x1))
                    alpha = alpha[rows + y1 - top, columns + x1 - left]
                frame[y1:y2, x1:x2] = frame[y1:y2, x1:x2] * (1 - alpha) + patch * alpha
            pasted.append(frame)
        return pasted

    def tubelets(self, source: list[np.ndarray], target: list[np.ndarray]) -> list[np.ndarray]:
        """Draw two tubelets and paste them into both clips."""
        all_boxes = [self.boxes() for _ in range(2)]
        all_boxes.sort(key=lambda boxes: -np.prod((boxes[:, 2:] - boxes[:, :2]).mean(axis=0)))
        tubelets = [(boxes, *self.patches(source, boxes)) for boxes in all_boxes]
        keys = self.key_frames()
        steps = [self.random.uniform(-6 * gap, 6 * gap, 2) for gap in np.diff(keys)]
        angles = self.spread(np.cumsum([np.zeros(2), *steps], axis=0), keys, bend=True).astype(int)
        return self.paste(source, tubelets, angles) + self.paste(target, tubelets, angles)

    def colour(self, clip: list[np.ndarray]) -> list[np.ndarray]:
        """Change brightness, contrast, hue and saturation, each with probability 0.2."""
        if self.random.random() < 0.2:
            delta = self.random.uniform(-32, 32)
            clip = [np.clip(frame + delta, 0, 255) for frame in clip]
        if self.random.random() < 0.2:
            factor = np.exp(self.random.uniform(-0.2, 0.2))
            clip = [np.clip(frame * factor, 0, 255) for frame in clip]
        if self.random.random() < 0.2:
            hue, saturation = self.random.uniform(-12, 12), np.exp(self.random.uniform(-0.1, 0.1))
            turned = []
            for frame in clip:
                hsv = cv2.cvtColor(np.round(np.clip(frame, 0, 255)).astype(np.uint8), cv2.COLOR_RGB2HSV)
                hsv = hsv.astype(np.float32)
                hsv[:, :, 0] += hue
                hsv[:, :, 1] *= saturation
                hsv = np.round(np.clip(hsv, 0, 255)).astype(np.uint8)
                hsv[:, :, 0] = np.clip(hsv[:, :, 0], 0, 179)
                turned.append(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).astype(np.float32))
            clip = turned
        return clip

    def crop_and_flip(self, clip: np.ndarray) -> list[np.ndarray]:
        """Cut a random square from every frame, mirrored half of the time."""
        left, top = self.random.integers(WIDTH - SIDE + 1), self.random.integers(HEIGHT - SIDE + 1)
        step = -1 if self.random.random() < 0.5 else 1
        return [np.ascontiguousarray(frame[top : top + SIDE, left : left + SIDE][:, ::step]) for frame in clip]

    def whole(self, source: np.ndarray, target: np.ndarray) -> torch.Tensor:
        """Return both clips, normalised: float32 (2, 3, T, H, W)."""
        frames = self.tubelets(self.crop_and_flip(source), self.crop_and_flip(target))
        clips = torch.from_numpy(np.stack(self.colour(frames)).astype(np.float32)).unflatten(0, (2, NUM_FRAMES))
        clips = clips.permute(0, 4, 1, 2, 3).contiguous() / 255
        return (clips - torch.from_numpy(MEAN).view(3, 1, 1, 1)) / torch.from_numpy(STD).view(3, 1, 1, 1)


def rotate(image: np.ndarray, angle: float) -> np.ndarray:
    """Rotate an image about its centre into a canvas that holds all of it."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width // 2, height // 2), -angle, 1.0)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    canvas = int(height * sin + width * cos), int(height * cos + width * sin)
    matrix[:, 2] += canvas[0] / 2 - width // 2, canvas[1] / 2 - height // 2
    return cv2.warpAffine(image, matrix, canvas)


def augment(
    source: torch.Tensor,
    target: torch.Tensor,
    tubelets: Tubelets,
    augmentation: ClipAugmentation,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Do the same work as ``Reference.whole`` for a batch."""
    num_pairs = len(source)
    clips = [flip(crop(clip, generator), augmentation.draw_flips(num_pairs, generator)) for clip in (source, target)]
    pasted = tubelets.paste(*clips, tubelets.draw(num_pairs, NUM_FRAMES, SIDE, SIDE, generator))
    colours = augmentation.draw_colours(num_pairs, generator)
    query, key = (normalise(recolour_(clip, colour)) for clip, colour in zip(pasted, colours, strict=True))
    return query, key


def crop(clips: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Cut a random square from each clip."""
    left = torch.randint(WIDTH - SIDE + 1, (len(clips),), generator=generator).tolist()
    top = torch.randint(HEIGHT - SIDE + 1, (len(clips),), generator=generator).tolist()
    cropped = empty((len(clips), NUM_FRAMES, SIDE, SIDE, 3), clips.dtype, clips.device)
    for result, clip, x, y in zip(cropped, clips, left, top, strict=True):
        result.copy_(clip[:, y : y + SIDE, x : x + SIDE])
    return cropped


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="of our side; the reference runs on the CPU")
    parser.add_argument("--batch_size", type=int, default=32, help="pairs at once")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    batch_size, device = arguments.batch_size, torch.device(arguments.device)
    generator = torch.Generator().manual_seed(0)
    reference, tubelets, augmentation = Reference(0), Tubelets(), ClipAugmentation()

    shape = (2, batch_size, NUM_FRAMES, HEIGHT, WIDTH, 3)
    source, target = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).unbind()
    squares = [clip[:, :, :SIDE, :SIDE].contiguous() for clip in (source, target)]
    frames = [[list(clip) for clip in clips.numpy()] for clips in squares]
    on_device = [clip.to(device) for clip in (source, target)]
    squares_on_device = [clip.to(device) for clip in squares]

    def draw() -> TubeletParameters:
        return tubelets.draw(batch_size, NUM_FRAMES, SIDE, SIDE, generator)

    medians = measure(
        {
            "reference tubelets": lambda: [reference.tubelets(*pair) for pair in zip(*frames, strict=True)],
            "draw": draw,
            "draw and paste": lambda: tubelets.paste(*squares_on_device, draw()),
            "reference whole": lambda: [
                reference.whole(*pair) for pair in zip(source.numpy(), target.numpy(), strict=True)
            ],
            "whole": lambda: augment(*on_device, tubelets, augmentation, generator),
        },
        arguments.rounds,
        torch.cuda.synchronize if device.type == "cuda" else lambda: None,
    )
    milliseconds = {name: 1000 * seconds / batch_size for name, seconds in medians.items()}
    rows = [
        {
            "work": label,
            "reference ms a pair": milliseconds.get(theirs),
            "ours ms a pair": milliseconds[ours],
            "ratio": milliseconds[theirs] / milliseconds[ours] if theirs in milliseconds else None,
            "ours pairs/s": 1000 / milliseconds[ours],
        }
        for label, ours, theirs in (
            ("draw alone", "draw", ""),
            ("tubelets: draw and paste", "draw and paste", "reference tubelets"),
            ("whole: crop, flip, tubelets, colours, normalise", "whole", "reference whole"),
        )
    ]
    record(f"tubelets_{device.type}", {"work": rows}, seed=0)


if __name__ == "__main__":
    main()
