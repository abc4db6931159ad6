"""The boxes of an evaluation of videos, gathered from batches and processes."""

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_modules.losses.gather import all_gather, world
from lightning_modules.metrics.detection_results import first_seen
from lightning_modules.tubes.detections import AnnotatedBoxes, FrameDetections

_COLUMNS = {"seen": (3, 0), "detected": (4, 5), "annotated": (5, 4)}


class TubeResults(Metric):
    """Collects detected and annotated boxes of frames.

    `gathered` joins those of all processes. A frame that several processes or updates have seen, because a sampler
    repeats some or because its video stood in for one that cannot be read, counts once: in the update that had it
    first.

    Args:
        num_classes: C.

    Raises:
        ValueError: no class.
    """

    full_state_update = False
    updates: Tensor

    def __init__(self, num_classes: int) -> None:
        # Joined in `gathered`: processes may have nothing, which torchmetrics' own gathering does not take.
        super().__init__(sync_on_compute=False)
        if num_classes < 1:
            raise ValueError(f"there must be a class to detect, num_classes is {num_classes}")
        self.num_classes = num_classes
        for name in _COLUMNS:
            self.add_state(f"{name}_keys", default=[], dist_reduce_fx=None)
            self.add_state(f"{name}_values", default=[], dist_reduce_fx=None)
        self.add_state("updates", default=torch.tensor(0), dist_reduce_fx=None)

    def update(self, video: Tensor, frame: Tensor, detected: FrameDetections, annotated: AnnotatedBoxes) -> None:
        """Add all there is of some frames.

        Args:
            video: int64 (N,), video of each frame looked at.
            frame: int64 (N,), its number from 0.
            detected: in these frames.
            annotated: in these frames.

        Raises:
            ValueError: a class is outside, or a score is no number.
        """
        for rows, what in ((detected, "detected"), (annotated, "annotated")):
            wrong = (rows.label < 0) | (rows.label >= self.num_classes)
            if wrong.any():
                first = rows[wrong.nonzero()[0]]
                raise ValueError(
                    f"{what} box in frame {int(first.frame) + 1} of video {int(first.video)}: class {int(first.label)}"
                    f" is not 0 to {self.num_classes - 1}"
                )
        if detected.score.isnan().any():
            first = detected[detected.score.isnan().nonzero()[0]]
            raise ValueError(
                f"detected box in frame {int(first.frame) + 1} of video {int(first.video)}: its score is not a number"
            )
        rank, size = world()
        source = self.updates * size + rank
        self.updates += 1
        self._keep("seen", (video, frame), source, ())
        columns = (detected.video, detected.frame, detected.label)
        self._keep("detected", columns, source, (detected.box, detected.score[:, None]))
        columns = (annotated.video, annotated.frame, annotated.label)
        self._keep("annotated", (*columns, annotated.tube), source, (annotated.box,))

    def _keep(self, name: str, keys: tuple[Tensor, ...], source: Tensor, values: tuple[Tensor, ...]) -> None:
        # 16 bytes a row instead of 32: there may be millions.
        rows = torch.stack([keys[0], keys[1], source.expand_as(keys[0]), *keys[2:]], 1).int()
        getattr(self, f"{name}_keys").append(rows)
        if values:
            getattr(self, f"{name}_values").append(torch.cat(values, 1).float())

    def compute(self) -> dict[str, Tensor]:
        """How many ``detected`` and ``annotated`` boxes there are, int64; methods measure what `gathered` returns."""
        _, detected, annotated = self.gathered()
        return {"detected": torch.tensor(len(detected)), "annotated": torch.tensor(len(annotated))}

    def gathered(self) -> tuple[Tensor, FrameDetections, AnnotatedBoxes]:
        """Boxes of all videos, the same on every process, by video and frame.

        Returns:
            int64 (V,), frames of each video by its row, 0 of one that was not seen; detected and annotated boxes.
        """
        keys, values = {}, {}
        for name, (whole, real) in _COLUMNS.items():
            keys[name] = self._gather(getattr(self, f"{name}_keys"), whole, torch.int32).long()
            values[name] = self._gather(getattr(self, f"{name}_values"), real, torch.float32)
        sizes = [len(rows) for rows in keys.values()]
        every = torch.cat([rows[:, :3] for rows in keys.values()])
        for name, once in zip(_COLUMNS, torch.split(first_seen(every[:, :2], every[:, 2]), sizes), strict=True):
            order = once.nonzero()[:, 0]
            # So that equal scores are in the same order on any number of processes.
            for column in (1, 0):
                order = order[keys[name][order, column].argsort(stable=True)]
            keys[name] = keys[name][order]
            values[name] = values[name][order] if len(values[name]) else values[name]
        seen, found, truth = keys["seen"], keys["detected"], keys["annotated"]
        videos = int(seen[:, 0].max()) + 1 if len(seen) else 0
        num_frames = torch.zeros(videos, dtype=torch.long, device=seen.device)
        num_frames.scatter_reduce_(0, seen[:, 0], seen[:, 1] + 1, "amax")
        boxes = values["detected"]
        detected = FrameDetections(found[:, 0], found[:, 1], found[:, 3], boxes[:, :4], boxes[:, 4])
        annotated = AnnotatedBoxes(truth[:, 0], truth[:, 1], truth[:, 3], values["annotated"], truth[:, 4])
        return num_frames, detected, annotated

    def _gather(self, parts: list[Tensor], columns: int, dtype: torch.dtype) -> Tensor:
        return all_gather(torch.cat([torch.empty((0, columns), dtype=dtype, device=self.device), *parts]))
