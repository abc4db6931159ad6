"""The detections and actions of an evaluation, gathered from batches, windows and processes."""

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_modules.losses.gather import all_gather, world
from lightning_modules.segments.detections import Actions, Detections, merge_windows


class DetectionResults(Metric):
    """Collects detections and annotated actions, given by videos or by windows of videos.

    `gathered` joins those of all processes. A window that several processes or updates have seen, because a sampler
    repeats some to give all the same number, counts once: in the update that had it first. An action that several
    windows have, or that is annotated twice, is one action.

    Args:
        num_classes: labels are 0 .. num_classes - 1.
        nms_threshold: suppress over each whole video, within a class; ``None``: keep all that are given.

    Raises:
        ValueError: no class.
    """

    full_state_update = False
    detection_keys: list[Tensor]
    detection_values: list[Tensor]
    action_keys: list[Tensor]
    action_values: list[Tensor]
    updates: Tensor

    def __init__(self, num_classes: int, nms_threshold: float | None = None) -> None:
        # Joined in `gathered`: processes may have nothing, which torchmetrics' own gathering does not take.
        super().__init__(sync_on_compute=False)
        if num_classes < 1:
            raise ValueError(f"there must be a class to detect, num_classes is {num_classes}")
        self.num_classes = num_classes
        self.nms_threshold = nms_threshold
        for name in ("detection_keys", "detection_values", "action_keys", "action_values"):
            self.add_state(name, default=[], dist_reduce_fx=None)
        self.add_state("updates", default=torch.tensor(0), dist_reduce_fx=None)

    def update(self, detections: Detections, actions: Actions) -> None:
        """Add all there is of some windows or whole videos.

        Args:
            detections: of any windows.
            actions: of the same windows, in frames of the video; one that reaches over several windows is in each, as
                a whole.

        Raises:
            ValueError: a segment ends before it starts or is not finite, a class is outside, or a score is no number.
        """
        for rows, what in ((detections, "detection"), (actions, "action")):
            wrong = ~(rows.segment[:, 0] <= rows.segment[:, 1]) | ~rows.segment.isfinite().all(1)
            if wrong.any():
                first = rows[wrong.nonzero()[0]]
                raise ValueError(
                    f"{what} of video {int(first.video)}: {first.segment[0].tolist()} is no segment; give its start "
                    "and then its end"
                )
            wrong = (rows.label < 0) | (rows.label >= self.num_classes)
            if wrong.any():
                first = rows[wrong.nonzero()[0]]
                raise ValueError(
                    f"{what} of video {int(first.video)}: class {int(first.label)} is not 0 to {self.num_classes - 1}"
                )
        if detections.score.isnan().any():
            first = detections[detections.score.isnan().nonzero()[0]]
            raise ValueError(f"detection of video {int(first.video)}: its score is not a number")
        rank, size = world()
        source = self.updates * size + rank
        self.updates += 1
        self.detection_keys.append(_keys(detections, source))
        self.detection_values.append(torch.cat((detections.segment, detections.score[:, None]), 1).float())
        self.action_keys.append(_keys(actions, source))
        self.action_values.append(actions.segment.float())

    def compute(self) -> dict[str, Tensor]:
        """How many ``detections`` and ``actions`` there are, int64 scalars; metrics return their numbers instead."""
        detections, actions = self.gathered()
        return {"detections": torch.tensor(len(detections)), "actions": torch.tensor(len(actions))}

    def gathered(self) -> tuple[Detections, Actions]:
        """Detections and actions of all videos, the same on every process.

        Returns:
            `Detections` by video and falling score, and `Actions` by video.
        """
        keys = self._gather(self.detection_keys, 4)
        values = self._gather(self.detection_values, 3, torch.float32)
        action_keys = self._gather(self.action_keys, 4)
        action_values = self._gather(self.action_values, 2, torch.float32)
        both = torch.cat((keys, action_keys))
        is_first = first_seen(both[:, :2], both[:, 3])
        once, actions_once = is_first[: len(keys)], is_first[len(keys) :]
        keys, values = keys[once], values[once]
        action_keys, action_values = action_keys[actions_once], action_values[actions_once]
        detections = Detections(keys[:, 0], keys[:, 1], keys[:, 2], values[:, :2], values[:, 2])
        # So that equal scores are in the same order on any number of processes.
        for column in ("label", "window", "video"):
            detections = detections[getattr(detections, column).argsort(stable=True)]
        if self.nms_threshold is not None:
            detections = merge_windows(detections, self.nms_threshold)
        else:
            detections = detections[detections.score.argsort(descending=True, stable=True)]
            detections = detections[detections.video.argsort(stable=True)]
        # float64 holds all the numbers of a row exactly.
        rows = torch.unique(torch.cat((action_keys[:, [0, 2]].double(), action_values.double()), 1), dim=0)
        video, label = rows[:, 0].long(), rows[:, 1].long()
        return detections, Actions(video, torch.zeros_like(video), label, rows[:, 2:].float())

    def _gather(self, parts: list[Tensor], columns: int, dtype: torch.dtype = torch.long) -> Tensor:
        empty = torch.empty((0, columns), dtype=dtype, device=self.device)
        return all_gather(torch.cat([empty, *parts]))


def first_seen(piece: Tensor, source: Tensor) -> Tensor:
    """Which rows come from the first source that had their piece of the data.

    Args:
        piece: int64 (N, K), what the rows are of, such as a window of a video.
        source: int64 (N,), in which update of which process the rows came, in order.

    Returns:
        bool (N,).
    """
    pieces, number = torch.unique(piece, dim=0, return_inverse=True)
    latest = torch.iinfo(torch.long).max
    first = torch.full_like(pieces[:, 0], latest).scatter_reduce_(0, number, source, "amin")
    return source == first[number]


def _keys(rows: Actions, source: Tensor) -> Tensor:
    """int64 (N, 4): video, window, class and which update of which process."""
    return torch.stack((rows.video, rows.window, rows.label, source.expand_as(rows.video)), dim=1)
