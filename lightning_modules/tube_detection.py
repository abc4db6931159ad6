"""Spatio-temporal detection: boxes of actors in frames, linked to tubes (4.6, B.2.4, table 4.3)."""

from typing import Any, Literal

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchvision.ops import batched_nms

from datamodules.batch import TubeBatch
from lightning_modules.losses.gather import gather_dicts, world
from lightning_modules.metrics.frame_map import Boxes, DetectedBoxes, frame_average_precision, mean_over_known
from lightning_modules.metrics.temporal_detection import check_thresholds
from lightning_modules.metrics.tube_results import TubeResults
from lightning_modules.metrics.video_map import video_average_precision
from lightning_modules.networks import VideoNetwork
from lightning_modules.optimization import OptimizerName, multi_step
from lightning_modules.reproducible import Reproducible
from lightning_modules.tubes.anchors import UCF101_24_ANCHORS, decode, k_means_anchors
from lightning_modules.tubes.detections import AnnotatedBoxes, FrameBoxes, FrameDetections, Tubes, annotated_tubes
from lightning_modules.tubes.linking import link
from lightning_modules.tubes.region_loss import region_losses
from lightning_modules.views.clip import IMAGENET_MEAN, IMAGENET_STD
from lightning_modules.views.video import VideoAugmentation
from lightning_modules.weights.header import describe
from lightning_modules.weights.importers import load_weights

# Bounds the memory that the clips of a piece of video take in evaluation.
_CLIPS_AT_ONCE = 64


class TubeDetection(Reproducible):
    """Detects actors in the last frame of a clip, and links what it finds in a video to tubes.

    Batch: ``TubeBatch``. The 3D branch of YOWO (Köpüklü et al. 2019, arXiv:1911.06644) alone, as the thesis has it: the
    maps of a video network, pooled over time, and a 1x1 convolution to anchors as of YOLOv2: for each cell and anchor a
    box, its objectness, and the classes. A detection's score is objectness times probability; boxes that
    overlap a surer one are suppressed whatever their class. Follows wei-tim/YOWO; differs: losses are means over the
    clips, which Adam does not mind but for the weight decay; a frame has at most ``max_boxes`` boxes and
    ``max_detections`` detections; and the frame mAP is that of AVA's evaluation.

    Logs ``frame_map``, over the frames that have an annotated box, at an overlap of 0.5; ``video_map_T`` at each
    threshold T; and ``video_map``, which is that at ``map_threshold``; in 0..1, for ``val`` and ``test``. The thesis
    does not name the threshold of table 4.3; its figures (from scratch 0.327, supervised 0.482) are like those that the
    paper has at 0.5 (0.488).

    Args:
        network: (B, 3, T, H, W); its last stage's maps are used.
        weights: file (a path or a catalogue name) of pretrained weights; from scratch when None.
        num_classes: C; that of the data module when None.
        anchors: widths and heights as shares of the picture; of ``num_anchors`` clusters of the training boxes' sizes
            when None. By default those of wei-tim/YOWO (``cfg/ucf24.yaml``).
        num_anchors: see ``anchors``.
        pool: what is taken of maps that have several frames: their mean, or the last, which is nearest the key frame.
        box_weight: see `region_losses`, as the next three.
        object_weight: see there.
        ignore_overlap: see there.
        focal_gamma: see there.
        score_threshold: least score of a detection.
        nms_overlap: overlap of boxes above which the surer one suppresses.
        max_boxes: of a frame.
        max_detections: of a frame, of all classes together.
        max_tubes: see `link`, as the next three.
        tube_nms_overlap: see there.
        trim: see there; None, as published, leaves tubes as long as their videos.
        trim_penalty: see there.
        map_thresholds: overlaps of the logged video mAPs.
        map_threshold: of these, that of ``video_map``.
        flip: whether half of the training clips are flipped.
        colour_jitter: brightness, contrast, saturation and hue, see ``VideoAugmentation``, as the next two.
        mean: see there.
        std: see there.
        optimizer: of all that trains; Adam in B.2.4.
        learning_rate: at the global batch size of the config.
        weight_decay: see there.
        milestones: epochs after which the rate falls.
        gamma: what it is multiplied with then.
        warmup_epochs: epochs over which it rises at first.
        channels_last: store activations channels-last, faster on GPUs with tensor cores.
        seed: of flips, colours and the head's first weights.

    Raises:
        ValueError: an argument is out of its range.
        WeightsError: weights do not fit.
    """

    anchors: Tensor

    def __init__(
        self,
        network: VideoNetwork,
        weights: str | None = None,
        num_classes: int | None = None,
        anchors: tuple[tuple[float, float], ...] | None = UCF101_24_ANCHORS,
        num_anchors: int = 5,
        pool: Literal["mean", "last"] = "mean",
        box_weight: float = 1.0,
        object_weight: float = 5.0,
        ignore_overlap: float = 0.6,
        focal_gamma: float = 2.0,
        score_threshold: float = 0.005,
        nms_overlap: float = 0.4,
        max_boxes: int = 10,
        max_detections: int = 50,
        max_tubes: int = 3,
        tube_nms_overlap: float = 0.3,
        trim: float | None = None,
        trim_penalty: float = 1.0,
        map_thresholds: tuple[float, ...] = (0.1, 0.2, 0.5),
        map_threshold: float = 0.5,
        flip: bool = True,
        colour_jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0),
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        optimizer: OptimizerName = "adam",
        learning_rate: float = 1e-4,
        weight_decay: float = 5e-4,
        milestones: tuple[int, ...] = (4, 6, 8, 10),
        gamma: float = 0.5,
        warmup_epochs: int = 0,
        channels_last: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(seed)
        if min(num_anchors, max_boxes, max_detections, max_tubes) < 1:
            raise ValueError(
                f"num_anchors={num_anchors}, max_boxes={max_boxes}, max_detections={max_detections} and"
                f" max_tubes={max_tubes} must be at least 1"
            )
        if anchors is not None and (not anchors or min(min(size) for size in anchors) <= 0):
            raise ValueError(f"anchors={anchors} must be widths and heights above 0, as shares of the picture")
        if pool not in ("mean", "last"):
            raise ValueError(f"pool={pool!r} must be mean or last")
        if focal_gamma < 0 or not 0 <= score_threshold < 1 or (trim is not None and not 0 < trim < 1):
            raise ValueError(
                f"focal_gamma={focal_gamma} must not be negative, score_threshold={score_threshold} lie in 0..1, and"
                f" trim={trim} above 0 and below 1"
            )
        self.map_thresholds = check_thresholds(map_thresholds)
        if map_threshold not in self.map_thresholds:
            raise ValueError(f"map_threshold={map_threshold} must be one of map_thresholds={self.map_thresholds}")
        self.augmentation = VideoAugmentation(0.5 if flip else 0.0, colour_jitter, mean, std)
        if weights is not None:
            load_weights(network, weights)
        self.network = network
        self.given_anchors = anchors
        self.num_anchors = num_anchors if anchors is None else len(anchors)
        self.register_buffer("anchors", torch.zeros(self.num_anchors, 2))
        self.pool = pool
        self.box_weight = box_weight
        self.object_weight = object_weight
        self.ignore_overlap = ignore_overlap
        self.focal_gamma = focal_gamma
        self.score_threshold = score_threshold
        self.nms_overlap = nms_overlap
        self.max_boxes = max_boxes
        self.max_detections = max_detections
        self.max_tubes = max_tubes
        self.tube_nms_overlap = tube_nms_overlap
        self.trim = trim
        self.trim_penalty = trim_penalty
        self.map_threshold = map_threshold
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.milestones = tuple(milestones)
        self.gamma = gamma
        self.warmup_epochs = warmup_epochs
        self.channels_last = channels_last
        self.num_classes = num_classes
        self.videos: dict[int, str] = {}
        self.evaluated: tuple[Tubes, Tubes] | None = None
        if anchors is not None:
            self.anchors.copy_(torch.tensor(anchors))
        if num_classes is not None:
            self.build(num_classes)

    def build(self, num_classes: int) -> None:
        """Make what depends on the number of classes: the head, from N(0, 0.01), and what collects detections."""
        self.num_classes = num_classes
        self.head = nn.Conv2d(self.network.feature_dim, self.num_anchors * (5 + num_classes), kernel_size=1)
        nn.init.normal_(self.head.weight, std=0.01, generator=self.generator(-2))
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)
        self.results = TubeResults(num_classes)
        if self.channels_last:
            self.network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # not declared

    def setup(self, stage: str) -> None:
        """Take from the data module what is not given: the number of classes, and the sizes of anchors.

        Raises:
            ValueError: nobody knows them, or the data have more classes than the head.
        """
        data = getattr(self.trainer, "datamodule", None)
        in_data = getattr(data, "num_classes", None)
        if self.num_classes is None:
            if not in_data:
                raise ValueError("the number of classes is unknown: set model.num_classes")
            self.build(in_data)
        elif in_data is not None and in_data > self.num_classes:
            raise ValueError(
                f"the data have {in_data} classes, the head {self.num_classes}: set model.num_classes={in_data}, or"
                " take other data"
            )
        # Those of a checkpoint are there already.
        if self.given_anchors is None and not self.anchors.any():
            sizes = getattr(data, "box_sizes", None)
            if sizes is None:
                raise ValueError("the data tell of no box_sizes: set model.anchors")
            self.anchors.copy_(k_means_anchors(sizes, self.num_anchors))

    @property
    def preprocessing(self) -> dict[str, Any]:
        """How evaluation prepares a clip, for the header of exported weights."""
        facts = getattr(getattr(self.trainer, "datamodule", None), "preprocessing", {})
        return facts and {**facts, "mean": list(self.augmentation.mean), "std": list(self.augmentation.std)}

    def output(self, clips: Tensor) -> Tensor:
        """What the head says of clips: float32 (K, 3, T, H, W), normalised, to float (K, A * (5 + C), H', W')."""
        if self.channels_last:
            clips = clips.contiguous(memory_format=torch.channels_last_3d)
        maps = self.network.forward_maps(clips)
        output: Tensor = self.head(maps.mean(2) if self.pool == "mean" else maps[:, :, -1])
        return output

    def training_step(self, batch: TubeBatch, batch_index: int) -> Tensor:
        """Learn the boxes in the last frames of clips."""
        self.check(batch)
        rank, size = world()
        share = len(batch["name"])
        draws = self.generator(self.batches_done())
        changes = self.augmentation.draw(share * size, 1, draws)[rank * share : (rank + 1) * share].to(self.device)
        clips = self.augmentation.random(batch["clip"][:, None], changes)
        owner = batch["owner"]
        boxes = torch.where(changes.flipped[owner], flip_boxes(batch["boxes"]), batch["boxes"])
        found = decode(self.output(clips), self.anchors)
        losses = region_losses(
            found,
            boxes,
            owner,
            batch["box_label"],
            self.anchors,
            self.box_weight,
            self.object_weight,
            self.ignore_overlap,
            self.focal_gamma,
        )
        loss = torch.stack(list(losses.values())).sum()
        self.stop_unless_finite(loss, batch["name"])
        self.log_step({"loss": loss, **losses}, share)
        return loss

    def check(self, batch: TubeBatch) -> None:
        """Refuse classes that the head does not have.

        Raises:
            ValueError: a box is of one; with its video.
        """
        assert self.num_classes is not None
        label = batch["box_label"]
        outside = (label < 0) | (label >= self.num_classes)
        if outside.any():
            first = int(outside.nonzero()[0])
            name = batch["name"][int(batch["owner"][first]) // batch["frame"].shape[1]]
            raise ValueError(
                f"{name}: class {int(label[first])} is not 0 to {self.num_classes - 1}; set model.num_classes, or"
                " correct the annotations"
            )

    @torch.no_grad()
    def detect(self, batch: TubeBatch) -> FrameDetections:
        """Boxes in the key frames of a batch, by key frame."""
        key = batch["frame"] >= 0
        run = key.shape[1]
        # (B, K, T, H, W, 3): nothing is copied before the key frames are picked.
        clips = batch["clip"].unfold(1, batch["clip"].shape[1] - run + 1, 1).movedim(-1, 2)
        row, number = key.nonzero(as_tuple=True)
        parts = []
        for rows, numbers in zip(torch.split(row, _CLIPS_AT_ONCE), torch.split(number, _CLIPS_AT_ONCE), strict=True):
            output = self.output(self.augmentation.centre(clips[rows, numbers]))
            found = self._detections(output)
            parts.append((rows[found[0]], numbers[found[0]], *found[1:]))
        rows, numbers, label, box, score = (torch.cat(column) for column in zip(*parts, strict=True))
        return FrameDetections(batch["video"][rows], batch["frame"][rows, numbers], label, box, score)

    def _detections(self, output: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Detections in K frames: frame and class, int64 (N,), box (N, 4), score (N,); the surest of a frame first."""
        found = decode(output, self.anchors)
        box, fits = found.box.flatten(1, 3).clamp(0, 1), found.object.flatten(1)
        score = fits[..., None] * found.logits.flatten(1, 3).softmax(-1)
        frame, place = (score.amax(2) > self.score_threshold).nonzero(as_tuple=True)
        kept = batched_nms(box[frame, place], fits[frame, place], frame, self.nms_overlap)
        kept = kept[frame[kept].argsort(stable=True)]
        kept = kept[place_in_group(frame[kept]) < self.max_boxes]
        frame, place = frame[kept], place[kept]
        row, label = (score[frame, place] > self.score_threshold).nonzero(as_tuple=True)
        frame, place = frame[row], place[row]
        sure = score[frame, place, label]
        order = sure.argsort(descending=True, stable=True)
        order = order[frame[order].argsort(stable=True)]
        order = order[place_in_group(frame[order]) < self.max_detections]
        return frame[order], label[order], box[frame[order], place[order]], sure[order]

    def forward(self, batch: TubeBatch) -> FrameDetections:
        """See `detect`."""
        return self.detect(batch)

    def validation_step(self, batch: TubeBatch, batch_index: int) -> None:
        """Detect, for the numbers at the end of the epoch."""
        self._evaluate(batch)

    def test_step(self, batch: TubeBatch, batch_index: int) -> None:
        """Do the same on the test split."""
        self._evaluate(batch)

    def on_validation_epoch_end(self) -> None:
        """Log the measures of the whole split."""
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Do the same on the test split."""
        self._log_scores("test")

    def _evaluate(self, batch: TubeBatch) -> None:
        self.check(batch)
        self.videos.update(zip(batch["video"].tolist(), batch["name"], strict=True))
        row, number = (batch["frame"] >= 0).nonzero(as_tuple=True)
        owner = batch["owner"]
        run = batch["frame"].shape[1]
        annotated = AnnotatedBoxes(
            batch["video"][owner // run],
            batch["frame"].flatten()[owner],
            batch["box_label"],
            batch["boxes"],
            batch["tube"],
        )
        self.results.update(batch["video"][row], batch["frame"][row, number], self.detect(batch), annotated)

    def _log_scores(self, split: str) -> None:
        num_frames, detected, annotated = self.results.gathered()
        self.results.reset()
        self.videos = gather_dicts(self.videos)
        assert self.num_classes is not None
        tubes = self.link(num_frames, detected)
        truth = annotated_tubes(annotated)
        self.evaluated = tubes, truth
        precision = video_average_precision(tubes, truth, self.num_classes, self.map_thresholds)
        by_threshold = {
            threshold: mean_over_known(row) for threshold, row in zip(self.map_thresholds, precision, strict=True)
        }
        scores = {f"video_map_{threshold:g}": value for threshold, value in by_threshold.items()}
        scores["video_map"] = by_threshold[self.map_threshold]
        scores["frame_map"] = frame_map(detected, annotated, num_frames, self.num_classes)
        # The same on every process: the results are those of all.
        self.log_dict({f"{split}/{name}": value for name, value in scores.items()}, sync_dist=True)

    def link(self, num_frames: Tensor, detected: FrameDetections) -> Tubes:
        """Tubes of the detections in whole videos, whose frames are int64 (V,)."""
        assert self.num_classes is not None
        return link(
            detected,
            num_frames,
            self.num_classes,
            self.max_tubes,
            self.tube_nms_overlap,
            self.trim,
            self.trim_penalty,
        )

    def predict_step(self, batch: TubeBatch, batch_index: int) -> dict[str, Any]:
        """Detections of a batch's key frames.

        Returns:
            ``box``, float32 (N, 4), as shares of the picture; ``class``, int64 (N,), from 0; ``score``, float32 (N,);
            ``frame``, int64 (N,), of the video from 0, and the video's ``name``.
        """
        found = self.detect(batch)
        names = dict(zip(batch["video"].tolist(), batch["name"], strict=True))
        return {
            "box": found.box,
            "class": found.label,
            "score": found.score,
            "frame": found.frame,
            "name": [names[video] for video in found.video.tolist()],
        }

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimizer of the whole; its rate falls at the milestones."""
        return multi_step(
            list(self.parameters()),
            self.optimizer,
            self.learning_rate,
            self.weight_decay,
            self.milestones,
            self.gamma,
            self.warmup_epochs,
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say inside the checkpoint what network it holds and what it was fed with."""
        data = getattr(self.trainer, "datamodule", None)
        checkpoint["zoo"] = describe(self.network, type(self).__name__, type(data).__name__, self.preprocessing)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the number of classes from the checkpoint where nothing else tells it.

        Raises:
            ValueError: the checkpoint has another number of classes or anchors.
        """
        state = checkpoint["state_dict"]
        if "head.bias" not in state or "anchors" not in state:
            return  # of another method; loading it strictly says so
        anchors = len(state["anchors"])
        classes = len(state["head.bias"]) // anchors - 5
        if self.num_classes is None:
            self.build(classes)
        if (classes, anchors) != (self.num_classes, self.num_anchors):
            raise ValueError(
                f"the checkpoint has {classes} classes and {anchors} anchors, this run {self.num_classes} and"
                f" {self.num_anchors}: give another --run_dir, or start a new run from it by model.weights"
            )


def flip_boxes(boxes: Tensor) -> Tensor:
    """Boxes in pictures that are turned left to right: float (N, 4), as shares of the picture."""
    left, top, right, bottom = boxes.unbind(1)
    return torch.stack([1 - right, top, 1 - left, bottom], 1)


def place_in_group(group: Tensor) -> Tensor:
    """Place of each row among those of its group, from 0: int64 (N,), groups after each other, to int64 (N,)."""
    counts = torch.unique_consecutive(group, return_counts=True)[1]
    first: Tensor = (counts.cumsum(0) - counts).repeat_interleave(counts)
    return torch.arange(len(group), device=group.device) - first


def frame_map(detected: FrameDetections, annotated: AnnotatedBoxes, num_frames: Tensor, num_classes: int) -> Tensor:
    """Frame mAP over the frames that have an annotated box, as published lists of frames have it; float32 scalar."""
    first = num_frames.cumsum(0) - num_frames

    def number(boxes: FrameBoxes) -> Tensor:
        return first.index_select(0, boxes.video) + boxes.frame

    frames = number(annotated)
    looked_at = detected[torch.isin(number(detected), frames)]
    found = DetectedBoxes(number(looked_at), looked_at.label, looked_at.box, looked_at.score)
    return mean_over_known(
        frame_average_precision(found, Boxes(frames, annotated.label, annotated.box), num_classes, 0.5)
    )
