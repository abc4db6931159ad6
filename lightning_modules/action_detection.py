"""Spatio-temporal action detection on given boxes (thesis 4.6, B.2.4)."""

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import roi_align

from datamodules.batch import BoxBatch
from lightning_modules.losses.gather import mean_over_ranks, world
from lightning_modules.metrics.frame_map import FrameMAP, mean_over_known
from lightning_modules.networks import VideoNetwork
from lightning_modules.networks.video_resnet import VideoResNet
from lightning_modules.recognition import Recognition
from lightning_modules.views.clip import IMAGENET_MEAN, IMAGENET_STD, flip
from lightning_modules.views.memory import upload
from lightning_modules.views.video import VideoAugmentation


class ActionDetection(Recognition):
    """Trains a network to tell what each person in a box does, and measures it on persons that a detector found.

    Batch: ``BoxBatch``. The network's last maps are averaged over time; of each box 7 x 7 bins are sampled (RoIAlign),
    of which the largest value of each channel counts; dropout and a linear layer give a logit for each action, and the
    loss is the mean binary cross-entropy over all boxes of the global batch and all actions. Half of the training clips
    are flipped, their boxes with them, drawn for the global batch from (seed, number of the batch).

    Follows facebookresearch/SlowFast (Feichtenhofer et al. 2019, arXiv:1812.03982), as fmthoker/SEVERE-BENCHMARK's
    configs do. The former sets the stride of its ResNet-50's last stage to 1 for cells of 16 pixels; R(2+1)D-18 has no
    max-pooling behind its stem, and cells of 16 pixels as it is. Differs: boxes of which a crop shows
    nothing are left out of the loss, where the published code keeps them without an area; the loss is over the boxes of
    all processes together.

    Logs ``train/loss``, and for ``val`` and ``test``, in 0..1: ``map``, the frame mAP at an
    overlap of 0.5 over the classes that the data module evaluates, and ``map_of_class_frequencies``, that of scoring
    each box by the actions' shares in the training boxes.

    Args:
        network: (B, 3, T, H, W) to maps.
        weights: file (a path or a catalogue name) of pretrained weights; from scratch when None.
        num_classes: C; that of the data module when None.
        fine_maps: whether the last stage's spatial stride is set to 1, with the same weights: cells of half the size.
        pooled_size: bins of a box along height and width.
        dropout: before the linear layer.
        flip_probability: of a left-right flip in training.
        mean: see ``VideoAugmentation``, as the next.
        std: see there.
        threshold: overlap from which on a box is found.
        optimizer: see ``Recognition``, as all that follow but one.
        learning_rate: see there.
        weight_decay: see there.
        milestones: see there.
        gamma: see there.
        warmup_epochs: see there; 5 in the published configs.
        channels_last: store activations channels-last, faster on GPUs with tensor cores.
        seed: of flips, dropout and the classifier's first weights.

    Raises:
        ValueError: as of ``Recognition``, or a number is out of range.
        WeightsError: weights do not fit.
    """

    def __init__(
        self,
        network: VideoNetwork,
        weights: str | None = None,
        num_classes: int | None = None,
        fine_maps: bool = False,
        pooled_size: int = 7,
        dropout: float = 0.5,
        flip_probability: float = 0.5,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        threshold: float = 0.5,
        optimizer: Literal["sgd", "adam", "adamw"] = "sgd",
        learning_rate: float = 0.1,
        weight_decay: float = 1e-7,
        milestones: tuple[int, ...] = (10, 15),
        gamma: float = 0.1,
        warmup_epochs: int = 5,
        channels_last: bool = False,
        seed: int = 0,
    ) -> None:
        if pooled_size < 1 or not 0 <= dropout < 1:
            raise ValueError(f"pooled_size={pooled_size} must be at least 1, dropout={dropout} from 0 to below 1")
        self.threshold = threshold
        super().__init__(
            networks=[network],
            weights=weights,
            crop=VideoAugmentation(flip_probability, (0.0, 0.0, 0.0, 0.0), mean, std),
            num_classes=num_classes,
            optimizer=optimizer,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            milestones=milestones,
            seed=seed,
            gamma=gamma,
            warmup_epochs=warmup_epochs,
        )
        if fine_maps:
            if not isinstance(network, VideoResNet):
                raise ValueError(f"fine_maps is of residual networks: leave it out with {type(network).__name__}")
            network.keep_size_in_last_stage()
        self.pooled_size = pooled_size
        self.dropout = dropout
        self.flip_probability = flip_probability
        self.channels_last = channels_last
        self.cell = cell_size(network)
        if channels_last:
            self.to(memory_format=torch.channels_last_3d)

    def build(self, num_classes: int) -> None:
        """Make the classifier and what collects boxes."""
        super().build(num_classes)
        self.held_out.clear()  # measures of one class a clip
        self.results = FrameMAP(num_classes, threshold=self.threshold)

    def setup(self, stage: str) -> None:
        """Take the number of classes, those that are evaluated and their frequencies from the data module.

        Raises:
            ValueError: as of ``Recognition``.
        """
        super().setup(stage)
        data = getattr(self.trainer, "datamodule", None)
        assert self.num_classes is not None
        classes = getattr(data, "evaluated_classes", None)
        self.results = FrameMAP(self.num_classes, classes, self.threshold).to(self.device)
        self.frequencies: Tensor | None = getattr(data, "class_frequencies", None)

    @property
    def preprocessing(self) -> dict[str, Any]:
        """How evaluation prepares a clip, for the header of exported weights."""
        facts = getattr(getattr(self.trainer, "datamodule", None), "preprocessing", {})
        assert isinstance(self.crop, VideoAugmentation)
        return facts and {**facts, "mean": list(self.crop.mean), "std": list(self.crop.std)}

    def box_logits(self, clip: Tensor, box: Tensor, row: Tensor) -> Tensor:
        """Logits of the actions of each box.

        Args:
            clip: uint8 (B, T, H, W, 3), all of H, W filled.
            box: float32 (N, 4), x1, y1, x2, y2 in 0..1.
            row: int64 (N,), clip of each box.

        Returns:
            float32 (N, C).
        """
        assert isinstance(self.crop, VideoAugmentation)
        views = self.crop.centre(clip)
        if self.channels_last:
            views = views.contiguous(memory_format=torch.channels_last_3d)
        network = self.networks[0]
        assert isinstance(network, VideoNetwork)
        maps = network.forward_maps(views).mean(2).float()
        height, width = clip.shape[2:4]
        pixels = box * box.new_tensor([width, height, width, height])
        rois = torch.cat((row[:, None].to(pixels), pixels), 1)
        pooled = roi_align(maps, rois, self.pooled_size, 1 / self.cell, aligned=True)
        features = functional.dropout(pooled.amax((2, 3)), self.dropout, self.training)
        return self.classify(features)

    def forward(self, batch: BoxBatch) -> Tensor:  # type: ignore[override] # boxes instead of clips
        """Logits of the actions of each box of a batch, float32 (N, C); clips of unlike sizes each by their own."""
        logits = batch["box"].new_zeros(len(batch["box"]), len(self.classifier.bias))
        for (height, width), rows in _alike(batch["size"]):
            mine = torch.isin(batch["box_row"], rows)
            if mine.any():
                place = torch.searchsorted(rows, batch["box_row"][mine])
                clip = batch["clip"][rows, :, :height, :width]
                logits[mine] = self.box_logits(clip, batch["box"][mine], place)
        return logits

    def training_step(self, batch: BoxBatch, batch_index: int) -> Tensor:  # type: ignore[override]
        """Learn the actions of the boxes in flipped or unflipped clips."""
        (rank, size), step, count = world(), self.batches_done(), len(batch["name"])
        torch.manual_seed(self.seed_of(step, rank))  # dropout goes on as it was after a resume
        drawn = torch.rand(count * size, generator=self.generator(step)) < self.flip_probability
        flipped = upload(drawn[rank * count : (rank + 1) * count], self.device)
        clip, box = flip(batch["clip"], flipped), flip_boxes(batch["box"], flipped[batch["box_row"]])
        losses = functional.binary_cross_entropy_with_logits(
            self.box_logits(clip, box, batch["box_row"]), batch["target"], reduction="none"
        )
        # Processes hold unlike numbers of boxes, and their gradients are averaged.
        boxes = size * mean_over_ranks(torch.full((), float(len(losses)), device=self.device))
        loss = losses.sum() * size / (boxes * losses.shape[1]).clamp(min=1)
        self.stop_unless_finite(loss, batch["name"])
        self.log_step({"loss": loss}, count)
        return loss

    def _evaluate(self, batch: BoxBatch) -> None:  # type: ignore[override]
        self.results.update(
            batch["sample"],
            batch["box_row"],
            batch["box"],
            self(batch).sigmoid(),
            batch["true_row"],
            batch["true_box"],
            batch["true_label"],
        )

    def _log_held_out(self, split: str) -> None:
        given, truth = self.results.gathered()
        scores = {"map": mean_over_known(self.results.precision(given, truth))}
        if self.frequencies is not None:
            same = self.frequencies.to(given.score).expand_as(given.score)
            precision = self.results.precision(type(given)(given.frame, given.box, same), truth)
            scores["map_of_class_frequencies"] = mean_over_known(precision)
        self.results.reset()
        # The same on every process: the results are those of all.
        self.log_dict({f"{split}/{name}": value for name, value in scores.items()}, sync_dist=True)

    def predict_step(self, batch: BoxBatch, batch_index: int) -> dict[str, Any]:  # type: ignore[override]
        """Scores of a batch's boxes.

        Returns:
            ``score``, float32 (N, C), a probability of each action; ``box``, float32 (N, 4), in 0..1; ``keyframe``,
            int64 (N,), row of each box' keyframe, and ``name``.
        """
        row = batch["box_row"]
        names = [batch["name"][number] for number in row.tolist()]
        return {"score": self(batch).sigmoid(), "box": batch["box"], "keyframe": batch["sample"][row], "name": names}


def flip_boxes(box: Tensor, flipped: Tensor) -> Tensor:
    """Turn some boxes left to right: float (N, 4) in 0..1 and bool (N,) to float (N, 4)."""
    x1, y1, x2, y2 = box.unbind(1)
    return torch.where(flipped[:, None], torch.stack((1 - x2, y1, 1 - x1, y2), 1), box)


def _alike(size: Tensor) -> Iterator[tuple[tuple[int, int], Tensor]]:
    """Heights and widths that occur in (B, 2), and the rows of each, int64, in order."""
    sizes, number = torch.unique(size, dim=0, return_inverse=True)
    for place, (height, width) in enumerate(sizes.tolist()):
        yield (height, width), (number == place).nonzero()[:, 0]


@torch.no_grad()
def cell_size(network: VideoNetwork) -> int:
    """Pixels from one cell of a network's last maps to the next."""
    training = network.training
    height = network.eval().forward_maps(torch.zeros(1, network.in_channels, 16, 64, 64)).shape[3]
    network.train(training)
    return 64 // height
