"""What a checkpoint's method says of one file, by what it takes: clips, skeletons or windows of long videos."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from torch import Tensor

from callbacks.prediction_video import SIDE, draw_skeletons
from configs.prediction.checkpoint import Checkpoint
from datamodules.pku_mmd_windows import MILLIMETRES_PER_LEVEL
from datamodules.readers.depth import PREFIX, DepthKind, DepthReader
from datamodules.readers.video import VideoReader
from datamodules.sample_list import VIDEO_SUFFIXES
from datamodules.sampling.clips import ClipSampler
from datamodules.sampling.resumable_sampler import Draw
from datamodules.sliding_inputs import (
    KINECT_FPS,
    Clips,
    read_clips,
    read_depth_clips,
    read_skeleton,
    skeleton_windows,
)
from datamodules.window_dataset import LongVideo, WindowDataset, WindowList, collate
from lightning_modules.action_detection import ActionDetection
from lightning_modules.momentum_contrast import MomentumContrast
from lightning_modules.multi_label_recognition import MultiLabelRecognition
from lightning_modules.prediction import Found, Prediction
from lightning_modules.rc3d import RC3D
from lightning_modules.recognition import Recognition
from lightning_modules.segments.detections import Detections, merge_windows
from lightning_modules.skeleton_contrast import SkeletonContrast
from lightning_modules.views.multimodal import ClipCrop
from lightning_modules.views.skeleton import PUBLISHED_MIN_FRAMES, SequenceCrop
from lightning_modules.views.video import VideoAugmentation
from lightning_modules.weights.preprocessing import Preprocessing

PICTURES = 8  # frames of a video in its picture
PICTURE_SIDE = 240  # pixels of their short side
FRAMES_AT_ONCE = 64
DEPTH_SHOWN = 5000.0  # millimetres that a picture of depth shows as black

Modality = Literal["rgb", "depth"]


@dataclass(frozen=True)
class Predictor(ABC):
    """Looks at files with a method.

    Attributes:
        checkpoint: holds the method.
        at_once: clips, windows or parts of a sequence that are looked at at once.
    """

    checkpoint: Checkpoint
    at_once: int = 16
    noun: ClassVar[str] = "videos"

    @property
    def suffixes(self) -> frozenset[str]:
        """Of the files that the method takes, in small letters."""
        return VIDEO_SUFFIXES

    @property
    def depth(self) -> DepthKind | None:
        """Which depth maps a folder may hold to be an input itself; None where it may not."""
        return None

    @abstractmethod
    def predict(self, path: Path, hop: float | None) -> Prediction:
        """Look at all of a file.

        Args:
            path: of it.
            hop: seconds from one clip to the next; half a clip by default.

        Raises:
            ValueError: it cannot be read; the message starts with its path.
        """

    @abstractmethod
    def feature(self, path: Path, clips: int) -> np.ndarray:
        """One feature of a file, float32 (D,): the mean over some evenly spaced clips, or that of a whole sequence.

        Raises:
            ValueError: it cannot be read; the message starts with its path.
        """

    @abstractmethod
    def strip(self, path: Path, count: int = PICTURES) -> np.ndarray:
        """Frames to draw: uint8 (``count``, H, W, 3), the middles of equal parts, or float (3, T, 25, 2).

        Raises:
            ValueError: it cannot be read; the message starts with its path.
        """

    @abstractmethod
    def moving(self, path: Path) -> tuple[float, Iterator[np.ndarray]]:
        """All frames to draw on: their number in a second, and uint8 (H, W, 3) each.

        Raises:
            ValueError: it cannot be read; the message starts with its path.
        """

    @torch.inference_mode()
    def judge(self, batch: dict[str, Any]) -> tuple[np.ndarray, np.ndarray | None]:
        """Features, float32 (K, D), and where the method has classes their probabilities, float32 (K, C)."""
        method: Any = self.checkpoint.method
        device = self.checkpoint.device
        moved = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in batch.items()}
        features: Tensor = method.features(moved)
        if not isinstance(method, Recognition) or method.num_classes is None:
            return features.cpu().numpy(), None
        logits = method.classify(features)
        score = logits.sigmoid() if isinstance(method, MultiLabelRecognition) else logits.softmax(1)
        return features.cpu().numpy(), score.cpu().numpy()


@dataclass(frozen=True, kw_only=True)
class ClipPredictor(Predictor):
    """For what takes clips of RGB videos, or of depth maps.

    Attributes:
        sampler: which frames make a clip.
        short_side: pixels that frames are scaled to.
        crop_size: side of the centre crop; None where the method crops.
        modality: of the clips.
    """

    sampler: ClipSampler
    short_side: int
    crop_size: int | None
    modality: Modality

    @property
    def suffixes(self) -> frozenset[str]:
        """See ``Predictor``."""
        return VIDEO_SUFFIXES if self.modality == "rgb" else frozenset()

    @property
    def depth(self) -> DepthKind | None:
        """See ``Predictor``."""
        return "masked" if self.modality == "depth" else None

    def predict(self, path: Path, hop: float | None) -> Prediction:
        """See ``Predictor``; the scores of the whole are the means over the clips, or of several labels the maxima."""
        frames, fps = _length(path, self.depth)
        parts = [(*self._judge(clips), clips.times) for clips in self._clips(path, self.sampler, hop)]
        features, scores, times = zip(*parts, strict=True)
        known = None if scores[0] is None else np.concatenate(scores)
        several = isinstance(self.checkpoint.method, MultiLabelRecognition)
        return Prediction(
            seconds=frames / fps,
            times=np.concatenate(times),
            features=np.concatenate(features),
            whole=None if known is None else known.max(0) if several else known.mean(0),
            scores=known,
        )

    def feature(self, path: Path, clips: int) -> np.ndarray:
        """See ``Predictor``."""
        of = self.sampler
        sampler = ClipSampler(of.num_frames, clips, of.strides, False, of.fps)
        features = [self._judge(part)[0] for part in self._clips(path, sampler, None, evenly=True)]
        return np.asarray(np.concatenate(features).mean(0))

    def strip(self, path: Path, count: int = PICTURES) -> np.ndarray:
        """See ``Predictor``."""
        return _pictures(path, count, self.depth, 1.0)

    def moving(self, path: Path) -> tuple[float, Iterator[np.ndarray]]:
        """See ``Predictor``."""
        return _moving(path, self.depth, 1.0)

    def _clips(self, path: Path, sampler: ClipSampler, hop: float | None, evenly: bool = False) -> Iterator[Clips]:
        if self.modality == "depth":
            return read_depth_clips(path, sampler, "masked", self.at_once, hop, evenly)
        return read_clips(path, sampler, self.short_side, self.crop_size, self.at_once, hop, evenly)

    def _judge(self, clips: Clips) -> tuple[np.ndarray, np.ndarray | None]:
        clip = clips.clip[:, None]  # each a video of one clip
        if self.crop_size is not None:
            return self.judge({"clip": clip})
        return self.judge({self.modality: clip, "clip": torch.zeros(clip.shape[:2], dtype=torch.int64)})


@dataclass(frozen=True, kw_only=True)
class SkeletonPredictor(Predictor):
    """For what takes sequences of skeletons.

    Attributes:
        tracked: whether bodies are told apart by the sensor's ID.
        window: frames of a part.
    """

    tracked: bool
    window: int = PUBLISHED_MIN_FRAMES
    noun: ClassVar[str] = "skeleton files"

    @property
    def suffixes(self) -> frozenset[str]:
        """See ``Predictor``."""
        return frozenset({".skeleton"})

    def predict(self, path: Path, hop: float | None) -> Prediction:
        """See ``Predictor``; the scores of the whole are those of the whole sequence, as in evaluation."""
        sequence, frames = read_skeleton(path, self.tracked)
        step = self.window // 2 if hop is None else max(round(hop * KINECT_FPS), 1)
        parts, lengths, times = skeleton_windows(sequence, frames, self.window, step)
        split = [torch.split(part, self.at_once) for part in (parts, lengths)]
        judged = [self.judge({"skeleton": part, "num_frames": num}) for part, num in zip(*split, strict=True)]
        features, scores = zip(*judged, strict=True)
        whole = self._whole(sequence, frames)[1]
        return Prediction(
            seconds=frames / KINECT_FPS,
            times=times,
            features=np.concatenate(features),
            whole=None if whole is None else whole[0],
            scores=None if whole is None else np.concatenate(scores),
        )

    def feature(self, path: Path, clips: int) -> np.ndarray:
        """See ``Predictor``."""
        return np.asarray(self._whole(*read_skeleton(path, self.tracked))[0][0])

    def strip(self, path: Path, count: int = PICTURES) -> np.ndarray:
        """See ``Predictor``; all frames of the sequence."""
        sequence, frames = read_skeleton(path, self.tracked)
        return sequence[:, :frames]

    def moving(self, path: Path) -> tuple[float, Iterator[np.ndarray]]:
        """See ``Predictor``."""
        return KINECT_FPS, draw_skeletons(self.strip(path))

    def _whole(self, sequence: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray | None]:
        return self.judge({"skeleton": torch.from_numpy(sequence)[None], "num_frames": torch.tensor([frames])})


@dataclass(frozen=True, kw_only=True)
class WindowPredictor(Predictor):
    """For R-C3D: actions in windows of long videos.

    Attributes:
        modality: of the videos.
        window: frames of a window.
        step: frames of the video from one of the window to the next.
        hop: frames from one window to the next.
        size: height and width of frames.
        maps: which depth maps of a folder.
        maps_fps: frames per second of such a folder, which does not tell.
        millimetres_per_level: of depth in video files.
    """

    modality: Modality
    window: int
    step: int
    hop: int
    size: tuple[int, int]
    maps: DepthKind
    maps_fps: float
    millimetres_per_level: float

    @property
    def depth(self) -> DepthKind | None:
        """See ``Predictor``."""
        return self.maps if self.modality == "depth" else None

    def predict(self, path: Path, hop: float | None) -> Prediction:
        """See ``Predictor``."""
        frames, fps = _length(path, self.depth, self.maps_fps)
        step = self.hop if hop is None else max(round(hop * fps), 1)
        windows = self._windows(path, frames, step)
        method = self._method
        found: list[Detections] = []
        features, times = [], []
        cell = method.stride * self.step
        for batch in self._batches(windows):
            maps, part = self._look(batch)
            found.append(part)
            for row, start in enumerate(batch["start"].tolist()):
                cells = -(-int(batch["num_frames"][row]) // method.stride)
                begin = start + cell * np.arange(cells)
                features.append(maps[row, :, :cells].T)
                times.append(np.stack([begin, np.minimum(begin + cell, frames)], 1) / fps)
        detections = merge_windows(Detections.join(found), method.detection_nms)
        order = detections.score.argsort(descending=True, stable=True)
        segments = detections.segment[order].double().numpy() / fps
        rows = zip(detections.label[order].tolist(), detections.score[order].tolist(), segments, strict=True)
        return Prediction(
            seconds=frames / fps,
            times=np.concatenate(times),
            features=np.concatenate(features),
            found=[Found(label, score, float(start), float(end)) for label, score, (start, end) in rows],
        )

    def feature(self, path: Path, clips: int) -> np.ndarray:
        """See ``Predictor``; the mean over all windows."""
        frames, _ = _length(path, self.depth)
        batches = self._batches(self._windows(path, frames, self.window * self.step))
        means = [self._look(batch)[0].mean(2) for batch in batches]
        return np.asarray(np.concatenate(means).mean(0))

    def strip(self, path: Path, count: int = PICTURES) -> np.ndarray:
        """See ``Predictor``."""
        return _pictures(path, count, self.depth, self.millimetres_per_level)

    def moving(self, path: Path) -> tuple[float, Iterator[np.ndarray]]:
        """See ``Predictor``."""
        return _moving(path, self.depth, self.millimetres_per_level, self.maps_fps)

    @property
    def _method(self) -> RC3D:
        assert isinstance(self.checkpoint.method, RC3D)
        return self.checkpoint.method

    def _windows(self, path: Path, frames: int, hop: int) -> WindowDataset:
        videos = WindowList([LongVideo(path.name, str(path), frames, [])], self.window * self.step, hop)
        return WindowDataset(
            videos, self.modality, self.window, self.step, self.size, 0, self.maps, self.millimetres_per_level
        )

    def _batches(self, windows: WindowDataset) -> Iterator[Any]:
        at_once = max(self.at_once // 4, 1)  # windows are long
        for first in range(0, len(windows), at_once):
            rows = range(first, min(first + at_once, len(windows)))
            yield collate([windows[Draw(row, 0)] for row in rows])

    @torch.inference_mode()
    def _look(self, batch: Any) -> tuple[np.ndarray, Detections]:  # noqa: ANN401
        """Features along time, float32 (B, C, cells), and what is detected."""
        device = self.checkpoint.device
        moved = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in batch.items()}
        maps = self._method.maps(cast(Any, moved))
        found = self._method.detect_in(maps, cast(Any, moved)).to("cpu")
        assert isinstance(found, Detections)
        return maps.float().mean((3, 4)).cpu().numpy(), found


def choose_predictor(checkpoint: Checkpoint, at_once: int) -> Predictor:
    """The predictor for a checkpoint's method.

    Raises:
        ValueError: nothing can be said of single files by this method, or the checkpoint lacks what clips are like.
    """
    method, data, path = checkpoint.method, checkpoint.data, checkpoint.path
    crop = method.crop if isinstance(method, Recognition) and not isinstance(method, ActionDetection) else None
    if isinstance(method, SkeletonContrast) or isinstance(crop, SequenceCrop):
        return SkeletonPredictor(checkpoint, at_once, tracked=data.get("bodies") == "tracked")
    if isinstance(method, RC3D):
        if "window" not in data:
            raise ValueError(f"{path}: its config does not tell data.window; put the run's config.yaml there")
        window, step = int(data["window"]), int(data.get("step") or 1)
        # The embedded videos tell height, width and fps apart.
        size = data.get("size") or (data.get("height") or 112, data.get("width") or 135)
        return WindowPredictor(
            checkpoint,
            at_once,
            modality=method.modality,
            window=window,
            step=step,
            hop=int(data.get("eval_hop") or max(window * step // 2, 1)),
            size=(int(size[0]), int(size[1])),
            maps=data.get("depth") or "full",
            maps_fps=float(data.get("fps") or KINECT_FPS),
            millimetres_per_level=float(data.get("millimetres_per_level") or MILLIMETRES_PER_LEVEL),
        )
    of = checkpoint.preprocessing
    if isinstance(crop, ClipCrop):
        if crop.modality == "flow":
            raise ValueError(
                f"{path}: takes optical flow; lightning prepare flow, then lightning predict --config NAME"
            )
        prepared = crop.preprocessing
        length = int(data.get("clip_length") or prepared.num_frames)
        sampler = ClipSampler(length, strides=(1,), temporal_jitter=False)
        modality: Modality = "rgb" if crop.modality == "rgb" else "depth"
        side = prepared.short_side
        return ClipPredictor(checkpoint, at_once, sampler=sampler, short_side=side, crop_size=None, modality=modality)
    if not isinstance(method, MomentumContrast) and not isinstance(crop, VideoAugmentation):
        raise ValueError(
            f"{path}: is of {checkpoint.name}, which takes no single files; lightning predict --config NAME"
        )
    if not isinstance(of, Preprocessing):
        raise ValueError(
            f"{path}: does not tell how its clips were prepared (num_frames, stride, short_side, crop_size); train it "
            "with this version, or lightning predict --config NAME"
        )
    sampler = ClipSampler(of.num_frames, strides=(of.stride or 1,), temporal_jitter=False, fps=of.fps)
    return ClipPredictor(
        checkpoint, at_once, sampler=sampler, short_side=of.short_side, crop_size=of.crop_size, modality="rgb"
    )


def of_number(noun: str, number: int) -> str:
    """A number of things: ``1 video``, ``2 videos``."""
    return f"{number:,} {noun.removesuffix('s') if number == 1 else noun}"


def holds_depth(folder: Path, kind: DepthKind) -> bool:
    """Tell whether a folder is a sample of depth maps."""
    return (folder / f"{PREFIX[kind]}00000001.png").is_file()


def _length(path: Path, depth: DepthKind | None, maps_fps: float = KINECT_FPS) -> tuple[int, float]:
    """Frames, and frames per second."""
    if depth is not None and path.is_dir():
        return DepthReader(path, depth).num_frames, maps_fps
    with VideoReader(path) as video:
        if not video.fps > 0:
            raise ValueError(f"{path}: its frame rate is unknown, so that no time can be told; encode it anew")
        return video.num_frames, video.fps


def _pictures(path: Path, count: int, depth: DepthKind | None, millimetres_per_level: float) -> np.ndarray:
    """Frames in the middles of equal parts, uint8 (count, H, W, 3)."""
    numbers = ((np.arange(count) + 0.5) * _length(path, depth)[0] / count).astype(np.int64)
    return _read(path, numbers, PICTURE_SIDE, depth, millimetres_per_level)


def _moving(
    path: Path, depth: DepthKind | None, millimetres_per_level: float, maps_fps: float = KINECT_FPS
) -> tuple[float, Iterator[np.ndarray]]:
    """Frames per second, and all frames, some of which are read at once."""
    num_frames, fps = _length(path, depth, maps_fps)
    parts = (
        np.arange(first, min(first + FRAMES_AT_ONCE, num_frames)) for first in range(0, num_frames, FRAMES_AT_ONCE)
    )
    return fps, (frame for part in parts for frame in _read(path, part, SIDE, depth, millimetres_per_level))


def _read(
    path: Path, numbers: np.ndarray, side: int, depth: DepthKind | None, millimetres_per_level: float
) -> np.ndarray:
    """Frames as pictures, uint8 (T, H, W, 3); depth is the lighter the nearer, and black where it is not known."""
    if depth is not None and path.is_dir():
        distance = DepthReader(path, depth).read(numbers).astype(np.float32)
    else:
        with VideoReader(path) as video:
            frames = video.read(numbers, side)
        if depth is None:
            return frames
        distance = frames.mean(-1) * millimetres_per_level
    near = np.where(distance > 0, (1 - distance / DEPTH_SHOWN).clip(0, 1) ** 0.5, 0)
    return np.asarray((255 * near).astype(np.uint8)[..., None].repeat(3, -1))
