"""Repetition counting of videos (Zhang et al. 2020, CVPR), on any of our video networks (thesis 4.6, B.2.4)."""

from typing import Any

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor

from datamodules.batch import RepetitionBatch
from lightning_modules.losses.gather import world
from lightning_modules.metrics.count_errors import CountErrors
from lightning_modules.networks import VideoNetwork
from lightning_modules.networks.cycle_head import CycleHead, CycleJudgement
from lightning_modules.optimization import OptimizerName, multi_step
from lightning_modules.repetition.anchors import ANCHORS, assign, best_factor, losses
from lightning_modules.repetition.contexts import NUM_DRAWS, Contexts, cut, draw_contexts
from lightning_modules.repetition.counting import Counted, count_cycles, scale_shares
from lightning_modules.reproducible import Reproducible
from lightning_modules.views.clip import IMAGENET_MEAN, IMAGENET_STD, flip, normalise
from lightning_modules.views.memory import upload
from lightning_modules.weights.header import describe
from lightning_modules.weights.importers import load_weights

# Bounds the memory that counting takes.
_CONTEXTS_AT_ONCE = 64

# Bound of offsets when training follows the network's own estimates (train_2stream.py).
_MAX_OFFSET_FOLLOWED = 2.0


class RepetitionCounting(Reproducible):
    """Learns how long the cycles before and after a moment are, and counts with it.

    Batch: ``RepetitionBatch``. A context is the two cycles behind a moment and the two ahead of it, as long as they are
    estimated to be, each half in as many frames: what is seen does not depend on the tempo. Anchors on the estimate,
    and offsets of them, correct it. ``count_cycles`` tells how a count comes of that.

    Follows Xiaodomgdomg/Deep-Temporal-Repetition-Counting, on which fmthoker/SEVERE-BENCHMARK (``Repetition-Counting``)
    builds. Differs: there a trajectory of up to eleven contexts is learnt from, one optimizer step each, which goes
    through the video by the network's own estimates; here a batch holds ``contexts`` independent ones of each video,
    and some of them have gone one such step. Frames outside of what may be seen are grey (0 after normalisation), there
    the mean once more; lengths are not one frame longer than annotated. See also ``CycleHead`` and ``count_cycles``.

    Logs ``train/loss``, ``train/fit_loss``, ``train/offset_loss``; ``error`` (mean of abs(count - true) / true: the
    thesis' mean error), ``off_by_one`` (share of counts at most 1 off, 0..1) and ``error_of_mean_count`` (of who says
    the mean count of the training videos of each) for ``val`` and ``test``.

    Args:
        network: (B, 3, T, H, W) to maps whose cells in time can be halved.
        weights: file (a path or a catalogue name) of pretrained weights; from scratch when None.
        num_frames: of a context (T), half of them behind the moment and half ahead.
        contexts: of a video in a training batch.
        anchors: multiples of the estimated length.
        offset_weight: of the offsets' loss.
        follow: share of contexts that go one step by the network's own estimates before they are learnt from.
        max_frames: most frames of the part of a video that a training context lies in.
        flip_probability: of a left-right flip of a training context.
        mean: of each channel, in 0..1.
        std: of each channel, in 0..1.
        optimizer: of all parameters; Adam in B.2.4.
        learning_rate: at the global batch size of the config; never rescaled.
        weight_decay: of all parameters; published (opts.py), not in the text.
        milestones: epochs after which the rate falls; none in B.2.4.
        gamma: what it is multiplied with there.
        warmup_epochs: epochs over which it rises; none in B.2.4.
        channels_last: store activations channels-last, faster on GPUs with tensor cores.
        seed: of contexts, flips and steps.

    Raises:
        ValueError: a number is out of range, or the network's maps do not have an even number of cells in time.
        WeightsError: weights do not fit.
    """

    anchors: Tensor

    def __init__(
        self,
        network: VideoNetwork,
        weights: str | None = None,
        num_frames: int = 32,
        contexts: int = 4,
        anchors: tuple[float, ...] = ANCHORS,
        offset_weight: float = 50.0,
        follow: float = 0.5,
        max_frames: int = 300,
        flip_probability: float = 0.5,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        optimizer: OptimizerName = "adam",
        learning_rate: float = 5e-5,
        weight_decay: float = 1e-3,
        milestones: tuple[int, ...] = (),
        gamma: float = 0.1,
        warmup_epochs: int = 0,
        channels_last: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(seed)
        if num_frames < 2 or num_frames % 2 or contexts < 1 or max_frames < 2:
            raise ValueError(
                f"num_frames={num_frames} must be even, contexts={contexts} at least 1, max_frames={max_frames} 2"
            )
        if not anchors or min(anchors) <= 0 or offset_weight < 0:
            raise ValueError(f"anchors={tuple(anchors)} must be positive, offset_weight={offset_weight} at least 0")
        if not 0 <= follow <= 1 or not 0 <= flip_probability <= 1:
            raise ValueError(f"follow={follow} and flip_probability={flip_probability} must lie in 0..1")
        channels, cells = measure(network, num_frames)
        if cells % 2:
            raise ValueError(
                f"{type(network).__name__} makes {cells} cells in time of num_frames={num_frames}, which cannot be "
                f"halved: give more frames, or smaller temporal_strides"
            )
        if weights is not None:
            load_weights(network, weights)
        self.network = network
        self.head = CycleHead(channels, cells, len(anchors))
        self.num_frames = num_frames
        self.contexts = contexts
        self.offset_weight = offset_weight
        self.follow = follow
        self.max_frames = max_frames
        self.flip_probability = flip_probability
        self.mean, self.std = mean, std
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.milestones = tuple(milestones)
        self.gamma = gamma
        self.warmup_epochs = warmup_epochs
        self.channels_last = channels_last
        self.register_buffer("anchors", torch.tensor(anchors, dtype=torch.float32), persistent=False)
        self._errors = CountErrors()
        if channels_last:
            self.to(memory_format=torch.channels_last_3d)

    def judge(self, frames: Tensor, contexts: Contexts, flipped: Tensor | None = None) -> CycleJudgement:
        """Judge the anchors of contexts.

        Args:
            frames: of a batch, see ``RepetitionBatch``.
            contexts: K of them.
            flipped: bool (K,), contexts to turn left to right.
        """
        clips, seen = cut(frames, contexts, self.num_frames)
        if flipped is not None:
            clips = flip(clips, flipped)
        views = normalise(clips, self.mean, self.std) * seen[:, None, :, None, None]
        if self.channels_last:
            views = views.contiguous(memory_format=torch.channels_last_3d)
        judged: CycleJudgement = self.head(self.network.forward_maps(views))
        return judged

    def training_step(self, batch: RepetitionBatch, batch_index: int) -> Tensor:
        """Correct the estimates of random contexts."""
        (rank, size), step = world(), self.batches_done()
        number = len(batch["name"]) * self.contexts
        draws = torch.rand(size * number, NUM_DRAWS + 3, generator=self.generator(step))
        draws = upload(draws[rank * number : (rank + 1) * number], self.device)
        contexts, true = self.draw(batch, draws)
        flipped = draws[:, NUM_DRAWS + 2] < self.flip_probability
        judged = self.judge(batch["frames"], contexts, flipped)
        fit, offset = losses(judged, assign(true, contexts.length, self.anchors))
        loss = fit + self.offset_weight * offset
        self.stop_unless_finite(loss, batch["name"])
        # Processes hold equal shares of a training batch, so the mean of their means is that of the global batch.
        self.log_step({"loss": loss, "fit_loss": fit, "offset_loss": offset}, number)
        return loss

    def draw(self, batch: RepetitionBatch, draws: Tensor) -> tuple[Contexts, Tensor]:
        """Draw the contexts of a batch, and let some of them go a step by the network's estimates.

        Args:
            batch: B videos.
            draws: float32 (B * contexts, NUM_DRAWS + 2 or more), uniform in 0..1.

        Returns:
            The contexts, and the true lengths at their middles, float32 (B * contexts, 2), 0 where unknown.
        """
        row = torch.arange(len(batch["name"]), device=draws.device).repeat_interleave(self.contexts)
        lengths = torch.stack((batch["previous_length"], batch["next_length"]), dim=2)
        contexts, true = draw_contexts(
            draws, row, batch["bounds"], lengths, scale_shares(draws.device), self.max_frames
        )
        going = (draws[:, NUM_DRAWS] < self.follow).nonzero()[:, 0]
        if not len(going):
            return contexts, true
        start = contexts.rows(going)
        with torch.no_grad():
            judged = self.judge(batch["frames"], start)
        length = start.limited(start.length * best_factor(judged, self.anchors, _MAX_OFFSET_FOLLOWED))
        # As published, a fifth to a twentieth of the part at once; past its end it goes on from the start.
        begin, end = start.span.unbind(1)
        step = ((end - begin) / (5 + 15 * draws[going, NUM_DRAWS + 1])).long().clamp(min=1)
        middle = begin + (start.middle - begin + step) % (end - begin)
        contexts = contexts._replace(
            middle=contexts.middle.index_copy(0, going, middle), length=contexts.length.index_copy(0, going, length)
        )
        return contexts, lengths[row, contexts.middle]

    @torch.no_grad()
    def count(self, batch: RepetitionBatch) -> Counted:
        """Count the cycles of the videos of a batch."""

        def judge(contexts: Contexts) -> CycleJudgement:
            parts = [
                self.judge(batch["frames"], contexts.rows(slice(first, first + _CONTEXTS_AT_ONCE)))
                for first in range(0, len(contexts.row), _CONTEXTS_AT_ONCE)
            ]
            return CycleJudgement(*(torch.cat(column) for column in zip(*parts, strict=True)))

        return count_cycles(judge, batch["num_frames"], self.anchors)

    def forward(self, batch: RepetitionBatch) -> Counted:
        """See `count`."""
        return self.count(batch)

    def validation_step(self, batch: RepetitionBatch, batch_index: int) -> None:
        """Count, for the errors at the end of the epoch."""
        self._evaluate(batch)

    def test_step(self, batch: RepetitionBatch, batch_index: int) -> None:
        """Do the same on the test split."""
        self._evaluate(batch)

    def _evaluate(self, batch: RepetitionBatch) -> None:
        true = torch.tensor([len(bounds) - 1 for bounds in batch["bounds"]], device=self.device)
        self._errors.update(self.count(batch).number, true, batch["sample"])

    def on_validation_epoch_end(self) -> None:
        """Log the errors of all videos."""
        self._log_errors("val")

    def on_test_epoch_end(self) -> None:
        """Do the same on the test split."""
        self._log_errors("test")

    def _log_errors(self, split: str) -> None:
        mean_count = getattr(getattr(self.trainer, "datamodule", None), "mean_count", None)
        # The same on every process: the counts are those of all.
        for name, value in self._errors.compute(self.device, mean_count).items():
            self.log(f"{split}/{name}", value, prog_bar=name == "error", sync_dist=True)

    def predict_step(self, batch: RepetitionBatch, batch_index: int) -> dict[str, Any]:
        """Count the cycles of a batch.

        Returns:
            ``count``, float32 (B,); ``middle`` and ``length``, see ``Counted``; ``sample``, int64 (B,), and ``name``.
        """
        number, middle, length = self.count(batch)
        found = {"count": number, "middle": middle, "length": length}
        return {**found, "sample": batch["sample"], "name": batch["name"]}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimizer of all parameters; its rate falls at the milestones."""
        return multi_step(
            list(self.parameters()),
            self.optimizer,
            self.learning_rate,
            self.weight_decay,
            self.milestones,
            self.gamma,
            self.warmup_epochs,
        )

    @property
    def preprocessing(self) -> dict[str, Any]:
        """How counting prepares a context, for the header of exported weights."""
        facts = getattr(getattr(self.trainer, "datamodule", None), "preprocessing", {})
        return facts and {**facts, "num_frames": self.num_frames, "mean": list(self.mean), "std": list(self.std)}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say inside the checkpoint what network it holds and what it was fed with."""
        data = getattr(self.trainer, "datamodule", None)
        checkpoint["zoo"] = describe(self.network, type(self).__name__, type(data).__name__, self.preprocessing)


@torch.no_grad()
def measure(network: VideoNetwork, num_frames: int) -> tuple[int, int]:
    """Channels of the network's maps, and cells in time of so many frames."""
    training = network.training
    maps = network.eval().forward_maps(torch.zeros(1, network.in_channels, num_frames, 32, 32))
    network.train(training)
    return maps.shape[1], maps.shape[2]
