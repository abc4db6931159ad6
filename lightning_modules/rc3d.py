"""Temporal action detection with R-C3D (Xu et al. 2017, arXiv:1703.07814), on any of our video networks."""

from typing import Any, Literal, NamedTuple

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional

from datamodules.batch import WindowBatch
from lightning_modules.losses.gather import gather_dicts, world
from lightning_modules.metrics.detection_results import DetectionResults
from lightning_modules.metrics.pku_mmd_detection import pku_mmd_scores
from lightning_modules.metrics.temporal_detection import check_thresholds, temporal_detection_map
from lightning_modules.networks.temporal_proposals import SegmentHead, TemporalProposalNetwork
from lightning_modules.networks.video_network import VideoNetwork, stage_cells
from lightning_modules.optimization import OptimizerName, multi_step
from lightning_modules.reproducible import Reproducible
from lightning_modules.segments.anchors import ACTIVITYNET_SCALES, anchor_grid, decode, encode
from lightning_modules.segments.detections import Actions, Detections
from lightning_modules.segments.nms import nms
from lightning_modules.segments.roi_pooling import roi_pool
from lightning_modules.segments.targets import assign_anchors, assign_proposals, sample, visible_actions
from lightning_modules.views.memory import upload
from lightning_modules.views.multimodal import DEFAULTS, draw_colours, mix_colours
from lightning_modules.weights.files import CLASS_NAMES_KEY
from lightning_modules.weights.header import describe
from lightning_modules.weights.importers import load_weights
from lightning_modules.weights.preprocessing import Preprocessing


class WindowActions(NamedTuple):
    """Actions that training finds in one window: segments float32 (S, 2) within it, classes int64 (S,)."""

    segment: Tensor
    label: Tensor


class Proposals(NamedTuple):
    """Proposed segments of all windows: float32 (R, 2), frames of the window, and the windows' rows int64 (R,)."""

    segment: Tensor
    row: Tensor


class RC3D(Reproducible):
    """Proposes segments in windows of long videos, and classifies what it pools from them; learnt together.

    Batch: ``WindowBatch``. Follows VisionLearningGroup/R-C3D (its ActivityNet files, where nothing else is said) and,
    for backbones other than C3D, sunnyxiaohu/R-C3D.pytorch. Differs: segments end exclusively, without the + 1 on
    lengths; windows without an action train as background; suppression goes over whole videos, not windows alone, as
    the detections of windows that overlap repeat each other.

    Rules for odd annotations: actions may overlap (an anchor learns the one that it overlaps most); one that reaches
    out of a window is cut, and left out of it where less than ``visible_share`` of it is inside; a video without any is
    fine. One that ends before it starts, or of a class outside, stops with its video's name.

    Args:
        network: what gives feature maps; the student of the transfer in the thesis (2.5.4).
        num_classes: of actions; labels are 0 .. num_classes - 1.
        stage: of the network whose maps are used; ``None``: the last. Best where a cell has 8 frames and 16 pixels.
        weights: start the network from these weights (a path or a catalogue name).
        adapt_input: whether weights for other channels, as flow's two, are taken too, see `load_weights`.
        modality: ``depth`` (2.5.4) or ``rgb``.
        preprocessing: how pixels become the network's input, as when it was trained: depth's range, mean and deviation;
            by default that of the transfer's students. Windows are neither scaled nor cropped.
        anchor_scales: lengths of anchors in cells along time.
        proposal_channels: of the proposal network's convolutions.
        hidden_features: of the classifier's hidden layer.
        dropout: in it.
        pooled_size: bins along time, rows and columns of what is pooled from a segment.
        visible_share: part of an action that has to be in a training window.
        anchor_positive: overlap from which on an anchor is an action; the best one of an action always is.
        anchor_negative: overlap below which it is none.
        anchors_per_window: that are learnt from, up to half of them actions.
        proposal_nms: overlap of proposals above which the surer one suppresses.
        training_proposals: of a window that are kept in training.
        proposals: of a window that are kept otherwise.
        proposal_positive: overlap from which on a proposal is an action.
        proposal_background: overlap from which on, below ``proposal_positive``, it is background; 0 in the paper and
            for THUMOS, 0.1 in the published ActivityNet files.
        proposals_per_window: that are learnt from.
        positive_share: of them that are actions (1:3, paper).
        score_threshold: least probability of a detection.
        detection_nms: overlap of detections of one class above which the surer one suppresses.
        map_thresholds: overlaps of the logged mean average precisions.
        flip_probability: of a left-right flip of a training window.
        recolour: whether training mixes the colours of each window of RGB at random, see ``ClipCrop``; not in the
            thesis.
        freeze_batch_norm: keep the network's batch statistics and its norms' weights, as sunnyxiaohu/R-C3D.pytorch
            does; not from scratch.
        optimizer: ``sgd``, as published, ``adam`` or ``adamw``.
        learning_rate: at the global batch size of the config; that of biases is twice as high, as published.
        momentum: of ``sgd``.
        weight_decay: of all but biases.
        milestones: epochs before which the rate falls to a tenth (2.5.4: the last 2 of 8).
        warmup_epochs: over which it rises at first; none in the thesis.
        seed: of flips, samples and dropout; the latter alone depends on the number of devices.

    Raises:
        ValueError: an argument is out of its range, or the network has no such stage.
    """

    anchor_scales: Tensor
    offset_scale: Tensor

    def __init__(
        self,
        network: VideoNetwork,
        num_classes: int = 51,
        stage: str | None = None,
        weights: str | None = None,
        adapt_input: bool = False,
        modality: Literal["depth", "rgb"] = "depth",
        preprocessing: Preprocessing | None = None,
        anchor_scales: tuple[float, ...] = ACTIVITYNET_SCALES,
        proposal_channels: int = 512,
        hidden_features: int = 4096,
        dropout: float = 0.5,
        pooled_size: tuple[int, int, int] = (1, 4, 4),
        visible_share: float = 0.7,
        anchor_positive: float = 0.7,
        anchor_negative: float = 0.3,
        anchors_per_window: int = 64,
        proposal_nms: float = 0.7,
        training_proposals: int = 2000,
        proposals: int = 300,
        proposal_positive: float = 0.5,
        proposal_background: float = 0.0,
        proposals_per_window: int = 128,
        positive_share: float = 0.25,
        score_threshold: float = 0.05,
        detection_nms: float = 0.4,
        map_thresholds: tuple[float, ...] = (0.5,),
        flip_probability: float = 0.5,
        recolour: bool = False,
        freeze_batch_norm: bool = False,
        optimizer: OptimizerName = "sgd",
        learning_rate: float = 1e-4,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        milestones: tuple[int, ...] = (6,),
        warmup_epochs: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(seed)
        if not anchor_scales or min(anchor_scales) <= 0:
            raise ValueError(f"anchor_scales must be positive lengths, are {tuple(anchor_scales)}")
        self.preprocessing = preprocessing or DEFAULTS[modality]
        if self.preprocessing.modality != modality:
            raise ValueError(f"model.modality is {modality}, preprocessing is of {self.preprocessing.modality}")
        if recolour and modality != "rgb":
            raise ValueError(f"recolour is for modality rgb; {modality} has no colours")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie from 0 to below 1, is {dropout}")
        if not 0 <= proposal_background < proposal_positive <= 1 or not 0 <= anchor_negative <= anchor_positive <= 1:
            raise ValueError("the overlaps of negative proposals and anchors must lie below those of positive ones")
        counts = (anchors_per_window, training_proposals, proposals, proposals_per_window, *pooled_size)
        if min(counts) < 1:
            raise ValueError(f"numbers of anchors, proposals and bins must be positive, are {counts}")
        self.results = DetectionResults(num_classes, detection_nms)
        channels, self.stride = stage_cells(network, stage)
        if weights is not None:
            load_weights(network, weights, adapt_input=adapt_input)
        self.network = network
        self.stage = stage
        stages = [name for name, _ in network.named_children()]
        for later in stages[stages.index(stage) + 1 :] if stage else ():
            network.get_submodule(later).requires_grad_(False)  # takes no part
        self.num_classes = num_classes
        self.modality = modality
        self.proposal_network = TemporalProposalNetwork(channels, proposal_channels, len(anchor_scales))
        bins, height, width = pooled_size
        self.head = SegmentHead(channels * bins * height * width, hidden_features, num_classes, dropout)
        self.pooled_size = (bins, height, width)
        self.visible_share = visible_share
        self.anchor_positive = anchor_positive
        self.anchor_negative = anchor_negative
        self.anchors_per_window = anchors_per_window
        self.proposal_nms = proposal_nms
        self.training_proposals = training_proposals
        self.num_proposals = proposals
        self.proposal_positive = proposal_positive
        self.proposal_background = proposal_background
        self.proposals_per_window = proposals_per_window
        self.positive_share = positive_share
        self.score_threshold = score_threshold
        self.detection_nms = detection_nms
        self.map_thresholds = check_thresholds(map_thresholds)
        self.flip_probability = flip_probability
        self.recolour = recolour
        self.freeze_batch_norm = freeze_batch_norm
        self.optimizer: OptimizerName = optimizer
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.milestones = tuple(milestones)
        self.warmup_epochs = warmup_epochs
        self.register_buffer("anchor_scales", torch.tensor(anchor_scales, dtype=torch.float32), persistent=False)
        # The published files scale what the last regression learns (TWIN_NORMALIZE_STDS).
        self.register_buffer("offset_scale", torch.tensor([0.1, 0.2]), persistent=False)
        self.videos: dict[int, tuple[str, int]] = {}
        self.evaluated: tuple[Detections, Actions] | None = None
        if freeze_batch_norm:
            for norm in self._norms():
                norm.requires_grad_(False)

    def train(self, mode: bool = True) -> "RC3D":
        """Set the mode; frozen norms stay in evaluation."""
        super().train(mode)
        if self.freeze_batch_norm:
            for norm in self._norms():
                norm.eval()
        return self

    def _norms(self) -> list[nn.Module]:
        return [module for module in self.network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]

    def prepare(self, batch: WindowBatch, flips: Tensor | None = None, colours: Tensor | None = None) -> Tensor:
        """The network's input, float32 (B, 3, T, H, W).

        Args:
            batch: see ``WindowBatch``.
            flips: bool (B,), windows to turn left to right.
            colours: float32 (B, 3, 3), see ``mix_colours``.

        Raises:
            ValueError: the batch lacks the modality, or its windows do not fill whole cells.
        """
        if self.modality not in batch:
            have = ", ".join(name for name in ("rgb", "depth") if name in batch) or "neither"
            raise ValueError(f"model.modality is {self.modality}, the data has {have}: set one to the other")
        pixels = batch["rgb"] if self.modality == "rgb" else batch["depth"]
        clip = self.preprocessing.unit(self.preprocessing.batched(pixels))
        clip = self.preprocessing.normalise(clip if colours is None else mix_colours(clip, colours))
        if clip.shape[2] % self.stride:
            raise ValueError(
                f"a window of {clip.shape[2]} frames does not fill cells of {self.stride}: make it a multiple of them"
            )
        return clip if flips is None else torch.where(flips[:, None, None, None, None], clip.flip(4), clip)

    def training_step(self, batch: WindowBatch, batch_index: int) -> Tensor:
        """Learn proposals and their classes together (equation 1 of the paper, for both)."""
        self.check(batch)
        size, step = len(batch["name"]), self.batches_done()
        draws = [self.generator(step, world()[0] * size + row) for row in range(size)]
        flips = torch.stack([torch.rand((), generator=draw) for draw in draws]) < self.flip_probability
        colours = upload(torch.cat([draw_colours(1, draw) for draw in draws]), self.device) if self.recolour else None
        maps = self.network.forward_maps(self.prepare(batch, upload(flips, self.device), colours), self.stage)
        actions = self.window_actions(batch)
        anchors, logits, offsets = self.judge_anchors(maps)
        losses = self.proposal_losses(anchors, logits, offsets, actions, draws)
        proposals = self.propose(anchors, logits, offsets, batch["num_frames"], self.training_proposals)
        dropout = torch.Generator(self.device).manual_seed(self.seed_of(step, world()[0], 1))
        losses |= self.head_losses(maps, proposals, actions, draws, dropout)
        loss = torch.stack(list(losses.values())).sum()
        self.stop_unless_finite(loss, batch["name"])
        self.log_step({"loss": loss, **losses}, size)
        return loss

    def window_actions(self, batch: WindowBatch) -> list[WindowActions]:
        """The actions of each window that are seen well enough to be learnt, cut to it."""
        found = []
        for segment, label, frames in zip(
            batch["segments"], batch["classes"], batch["num_frames"].tolist(), strict=True
        ):
            cut, index = visible_actions(segment, frames, self.visible_share)
            found.append(WindowActions(cut, label[index]))
        return found

    def judge_anchors(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Anchors float32 (N, 2), whether each is an action as a logit (B, N), and its offsets (B, N, 2), float32."""
        logits, offsets = self.proposal_network(maps)
        return anchor_grid(maps.shape[2], self.stride, self.anchor_scales), logits, offsets

    def proposal_losses(
        self,
        anchors: Tensor,
        logits: Tensor,
        offsets: Tensor,
        actions: list[WindowActions],
        draws: list[torch.Generator],
    ) -> dict[str, Tensor]:
        """Losses of anchors that are drawn from each window, actions and none of them one to one where there are."""
        num_frames = logits.shape[1] // len(self.anchor_scales) * self.stride
        binary, regression = [], []
        for row, (action, draw) in enumerate(zip(actions, draws, strict=True)):
            label, owner = assign_anchors(
                anchors, action.segment, num_frames, self.anchor_positive, self.anchor_negative
            )
            chosen = sample(label, self.anchors_per_window, 0.5, draw)
            positive = chosen[label[chosen] == 1]
            target = encode(action.segment[owner[positive]], anchors[positive])
            count = max(len(chosen), 1)
            binary.append(
                functional.binary_cross_entropy_with_logits(logits[row, chosen], label[chosen].float(), reduction="sum")
                / count
            )
            # beta = 1 / sigma^2 with the published sigma of 3.
            regression.append(
                functional.smooth_l1_loss(offsets[row, positive], target, reduction="sum", beta=1 / 9) / count
            )
        return {"anchor_loss": torch.stack(binary).mean(), "anchor_offset_loss": torch.stack(regression).mean()}

    @torch.no_grad()
    def propose(self, anchors: Tensor, logits: Tensor, offsets: Tensor, num_frames: Tensor, count: int) -> Proposals:
        """The surest segments of each window.

        Args:
            anchors: float32 (N, 2).
            logits: float32 (B, N).
            offsets: float32 (B, N, 2).
            num_frames: int64 (B,), frames that the video fills.
            count: of proposals a window, at most.
        """
        segment = torch.minimum(decode(offsets, anchors).clamp(min=0), num_frames[:, None, None])
        row, index = (segment.diff(dim=-1)[..., 0] >= 1).nonzero(as_tuple=True)
        segment, score = segment[row, index], logits[row, index]
        kept = nms(segment, score, self.proposal_nms, row)
        kept = kept[row[kept].argsort(stable=True)]
        row = row[kept]
        first = torch.searchsorted(row, row)
        few = torch.arange(len(row), device=row.device) - first < count
        return Proposals(segment[kept[few]], row[few])

    def head_losses(
        self,
        maps: Tensor,
        proposals: Proposals,
        actions: list[WindowActions],
        draws: list[torch.Generator],
        dropout: torch.Generator,
    ) -> dict[str, Tensor]:
        """Losses of proposals that are drawn from each window, to which its actions themselves are added."""
        parts = []
        for row, (action, draw) in enumerate(zip(actions, draws, strict=True)):
            segment = torch.cat((proposals.segment[proposals.row == row], action.segment))
            label, owner = assign_proposals(segment, action.segment, self.proposal_positive, self.proposal_background)
            chosen = sample(label, self.proposals_per_window, self.positive_share, draw)
            positive = label[chosen] == 1
            target = torch.zeros(len(chosen), 2, device=maps.device)
            classes = torch.zeros_like(chosen)
            mine = owner[chosen[positive]]
            target[positive] = encode(action.segment[mine], segment[chosen[positive]]) / self.offset_scale
            classes[positive] = action.label[mine] + 1
            # Each window counts alike, whatever its number of proposals and the device it is on.
            weight = torch.full_like(target[:, 0], 1 / (max(len(chosen), 1) * len(draws)))
            parts.append((segment[chosen], torch.full_like(chosen, row), classes, target, weight))
        segment, rows, classes, target, weight = (torch.cat(column) for column in zip(*parts, strict=True))
        logits, offsets = self.classify(maps, Proposals(segment, rows), dropout)
        positive = classes > 0
        own = offsets[positive, classes[positive]]
        regression = functional.smooth_l1_loss(own, target[positive], reduction="none").sum(1)
        return {
            "class_loss": (functional.cross_entropy(logits, classes, reduction="none") * weight).sum(),
            "offset_loss": (regression * weight[positive]).sum(),
        }

    def classify(
        self, maps: Tensor, proposals: Proposals, dropout: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Logits float32 (R, 1 + classes) and offsets float32 (R, 1 + classes, 2), background first."""
        pooled = roi_pool(maps, proposals.segment, proposals.row, self.stride, self.pooled_size)
        logits, offsets = self.head(pooled.flatten(1), dropout)
        return logits, offsets

    @torch.no_grad()
    def detect(self, batch: WindowBatch) -> Detections:
        """Actions in each window, in frames of the videos; those of overlapping windows are not merged yet."""
        return self.detect_in(self.maps(batch), batch)

    def maps(self, batch: WindowBatch) -> Tensor:
        """Feature maps of windows, float (B, C, T / stride, H, W)."""
        return self.network.forward_maps(self.prepare(batch), self.stage)

    @torch.no_grad()
    def detect_in(self, maps: Tensor, batch: WindowBatch) -> Detections:
        """See `detect`; from the windows' feature maps."""
        num_frames = batch["num_frames"]
        proposals = self.propose(*self.judge_anchors(maps), num_frames, self.num_proposals)
        logits, offsets = self.classify(maps, proposals)
        probability = logits.softmax(1)[:, 1:]
        segment = decode(offsets[:, 1:] * self.offset_scale, proposals.segment[:, None])
        segment = torch.minimum(segment.clamp(min=0), num_frames[proposals.row, None, None])
        sure = (probability > self.score_threshold) & (segment.diff(dim=-1)[..., 0] > 0)
        which, label = sure.nonzero(as_tuple=True)
        segment, score, row = segment[which, label], probability[which, label], proposals.row[which]
        kept = nms(segment, score, self.detection_nms, row * self.num_classes + label)
        row = row[kept]
        start, step = batch["start"][row], batch["step"][row]
        return Detections(
            batch["sample"][row], start, label[kept], start[:, None] + step[:, None] * segment[kept], score[kept]
        )

    def forward(self, batch: WindowBatch) -> Detections:
        """See `detect`."""
        return self.detect(batch)

    def check(self, batch: WindowBatch) -> None:
        """Refuse annotations that no rule covers.

        Raises:
            ValueError: an action ends before it starts or is not finite, or its class is outside; with the video.
        """
        for name, start, segments, classes in zip(
            batch["name"], batch["start"].tolist(), batch["segments"], batch["classes"], strict=True
        ):
            place = f"{name}, window at frame {start}"
            if segments.shape != (len(classes), 2):
                raise ValueError(f"{place}: {tuple(segments.shape)} segments for {len(classes)} classes")
            wrong = ~(segments[:, 0] <= segments[:, 1]) | ~segments.isfinite().all(1)
            if wrong.any():
                first, last = segments[wrong][0].tolist()
                raise ValueError(f"{place}: an action from {first:g} to {last:g} is none; correct the video's labels")
            outside = (classes < 0) | (classes >= self.num_classes)
            if outside.any():
                raise ValueError(
                    f"{place}: class {int(classes[outside][0])} is not 0 to {self.num_classes - 1}; set "
                    "model.num_classes, or correct the video's labels"
                )

    def validation_step(self, batch: WindowBatch, batch_index: int) -> None:
        """Detect, for the numbers at the end of the epoch."""
        self._evaluate(batch)

    def test_step(self, batch: WindowBatch, batch_index: int) -> None:
        """Do the same on the test split."""
        self._evaluate(batch)

    def on_validation_epoch_end(self) -> None:
        """Log the measures of the whole split."""
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Log the measures of the whole split."""
        self._log_scores("test")

    def _evaluate(self, batch: WindowBatch) -> None:
        self.check(batch)
        self._remember(batch)
        counts = torch.tensor([len(classes) for classes in batch["classes"]], device=self.device)
        start, step = (batch[key].repeat_interleave(counts) for key in ("start", "step"))
        # Thousandths of a frame: windows with a step give an action's frames as fractions, each its own.
        segment = (start[:, None] + step[:, None] * torch.cat(batch["segments"]).double()).mul(1000).round().div(1000)
        actions = Actions(
            batch["sample"].repeat_interleave(counts), start, torch.cat(batch["classes"]), segment.float()
        )
        self.results.update(self.detect(batch), actions)

    def _remember(self, batch: WindowBatch) -> None:
        """Note the videos' names and, as far as their windows tell, their lengths."""
        ends = batch["start"] + batch["step"] * batch["num_frames"]
        for sample_row, name, end in zip(batch["sample"].tolist(), batch["name"], ends.tolist(), strict=True):
            self.videos[sample_row] = (name, max(end, self.videos.get(sample_row, (name, 0))[1]))

    def _log_scores(self, split: str) -> None:
        detections, actions = self.evaluated = self.results.gathered()
        self.results.reset()
        self.videos = gather_dicts(self.videos)
        scores = temporal_detection_map(detections, actions, self.num_classes, self.map_thresholds)
        scores |= pku_mmd_scores(detections, actions, self.num_classes)
        # The same on every process: the results are those of all.
        self.log_dict({f"{split}/{name}": value for name, value in scores.items()}, sync_dist=True)

    def predict_step(self, batch: WindowBatch, batch_index: int) -> Detections:
        """Detections of the batch's windows, see `detect`."""
        self._remember(batch)
        return self.detect(batch)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimizer with a higher rate for biases; the rate falls at the milestones."""
        parameters = {name: value for name, value in self.named_parameters() if value.requires_grad}
        biases = [value for name, value in parameters.items() if name.endswith("bias")]
        weights = [value for name, value in parameters.items() if not name.endswith("bias")]
        groups: list[dict[str, Any]] = [
            {"params": weights},
            {"params": biases, "weight_decay": 0.0, "lr": 2 * self.learning_rate},
        ]
        return multi_step(
            groups,
            self.optimizer,
            self.learning_rate,
            self.weight_decay,
            self.milestones,
            0.1,
            self.warmup_epochs,
            momentum=self.momentum,
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say inside the checkpoint what network it holds and what it was fed with."""
        data = getattr(self.trainer, "datamodule", None)
        checkpoint["zoo"] = describe(self.network, type(self).__name__, type(data).__name__, self.preprocessing)
        checkpoint[CLASS_NAMES_KEY] = [str(name) for name in getattr(data, "class_names", None) or ()]
