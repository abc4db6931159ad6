"""UCFRep: 526 videos of 23 classes of UCF101 whose motions repeat, with the bounds of each of their 3,506 cycles.

Paper: Zhang et al. 2020, Context-aware and Scale-insensitive Temporal Repetition Counting (CVPR 2020).
Annotations: https://github.com/Xiaodomgdomg/Deep-Temporal-Repetition-Counting, ``ori_data/ucf526``.
Licence: none is stated, for the annotations nor for the videos.

======  ======  ======  ==========
split   videos  cycles  mean count
======  ======  ======  ==========
train   421     2,776   6.59
val     105     730     6.95
======  ======  ======  ==========

2 to 53 cycles a video of 3 to 169 frames each. The thesis tests with val (B.2.4). Tree: ``root/<class>/<name>.avi`` as
UCF101 has it, or flat; ``train/<name>.mat`` and ``val/<name>.mat`` (``readers/cycles.py``) in ``annotations``, in
``root`` or beside it, as the archive ``ucf526_annotations.zip`` holds them. Upper and lower case do not matter.
"""

from pathlib import Path

from pytorch_lightning.utilities import rank_zero_info

from datamodules.broken_samples import BrokenSamplesDataModule
from datamodules.listed_videos import VideoFiles
from datamodules.readers.annotations import find_file
from datamodules.readers.cycles import read_cycles
from datamodules.readers.video import MAX_MISSING_FRAMES, VideoError, VideoReader
from datamodules.repetition_dataset import RepeatedMotion, RepetitionDataset, RepetitionList, collate
from datamodules.sample_datamodule import require_positive
from datamodules.sample_list import SampleList
from datamodules.video_datamodule import MEAN, STD

OFFICIAL_COUNTS = (421, 105)
MIN_CYCLES = 2  # of what can be said to repeat, as published


class UCFRepDataModule(BrokenSamplesDataModule):
    """Whole videos of UCFRep from their first cycle to their last; batches are ``RepetitionBatch``.

    A ``.mat`` that cannot be used (see ``readers.cycles.read_cycles``), fewer than two cycles, or cycles that end more
    than 3 frames after the video: the video is left out, which one warning tells. Where up to 3 frames are missing the
    last one is repeated. Annotated videos that are not on the disk are counted.

    Attributes:
        mean_count: mean number of cycles of the training videos, known after ``setup``.

    Args:
        root: folder of the videos.
        lists: folder that holds ``train`` and ``val`` with the ``.mat`` files; ``annotations`` in ``root`` or beside
            it, or ``root``, when None.
        crop_size: side in pixels of the square that frames are fitted into, black around them, as published.
        global_batch_size: see ``SampleDataModule``, as all that follow.
        eval_batch_size: see there.
        num_workers: see there.
        seed: see there.

    Raises:
        ValueError: a number is out of range.
    """

    noun = "videos"
    train_samples: RepetitionList
    val_samples: RepetitionList
    mean_count: float

    collate = staticmethod(collate)

    def __init__(
        self,
        root: str | Path,
        lists: str | Path | None = None,
        crop_size: int = 112,
        global_batch_size: int = 8,
        eval_batch_size: int = 4,
        num_workers: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__(global_batch_size, eval_batch_size, None, num_workers, seed)
        require_positive(crop_size=crop_size)
        self.root = Path(root).expanduser()
        self.lists = lists
        self.crop_size = crop_size

    @property
    def official_counts(self) -> tuple[int, int] | None:
        """Annotated videos to train and to test with; None where there is no such number."""
        return OFFICIAL_COUNTS

    @property
    def preprocessing(self) -> dict[str, object]:
        """How frames are prepared, in plain JSON types, for the header of exported weights."""
        side = self.crop_size
        return {"short_side": side, "crop_size": side, "mean": list(MEAN), "std": list(STD)}

    def setup(self, stage: str) -> None:
        """List the annotated videos that are on the disk, and read their cycles.

        Raises:
            ValueError: the annotations are missing, the folder holds no videos, or none of a split can be used.
        """
        if hasattr(self, "train_samples"):
            return
        files = VideoFiles(self.root)
        annotations = find_file(self.root, self.lists, ("annotations",), ("train/*.mat",)).parent.parent
        missing: list[str] = []
        left_out: list[str] = []
        listed, parts = [], []
        for split in ("train", "val"):
            names = sorted(path for path in annotations.glob(f"{split}/*.mat") if not path.name.startswith("."))
            videos = [video for path in names if (video := self._video(path, files, missing, left_out)) is not None]
            if not videos:
                reason = next(iter(left_out), f"{missing[0]} is not in {self.root}" if missing else "there is no .mat")
                raise ValueError(
                    f"{annotations / split}: of {len(names)} annotated videos none can be used ({reason}); set root to "
                    f"UCF101's videos and lists to the folder of train and val"
                )
            listed.append(len(names))
            parts.append(RepetitionList(videos))
        self.train_samples, self.val_samples = parts
        self.mean_count = float(self.train_samples.counts.double().mean())
        self._report((listed[0], listed[1]), missing, left_out)

    def dataset(self, samples: SampleList, training: bool) -> RepetitionDataset:
        """Return the videos of a list, read alike in training and evaluation."""
        assert isinstance(samples, RepetitionList)
        return RepetitionDataset(samples, self.crop_size)

    def _video(
        self, annotation: Path, files: VideoFiles, missing: list[str], left_out: list[str]
    ) -> RepeatedMotion | None:
        """Read a video's cycles and hold them against its frames; add what is wrong to the two lists."""
        name = files.find(annotation.stem)
        if name is None:
            missing.append(annotation.stem)
            return None
        path = self.root / name
        try:
            bounds = read_cycles(annotation)
            if len(bounds) <= MIN_CYCLES:
                raise ValueError(f"{annotation}: has one cycle, which does not repeat; leave it out")
            with VideoReader(path) as video:
                frames = video.num_frames
            if bounds[-1] > frames + MAX_MISSING_FRAMES:
                raise ValueError(
                    f"{annotation}: its cycles end with frame {bounds[-1]}, {path} has {frames}; correct it or take "
                    f"the original video"
                )
        except (ValueError, VideoError) as error:
            left_out.append(str(error))
            return None
        return RepeatedMotion(str(path), bounds)

    def _report(self, listed: tuple[int, int], missing: list[str], left_out: list[str]) -> None:
        """Say what there is, and what is wrong with the rest."""
        parts = (self.train_samples, self.val_samples)
        counts = [f"{len(part):,} with {int(part.counts.sum()):,} cycles" for part in parts]
        line = f"{type(self).__name__}: {counts[0]} to train, {counts[1]} to test; a training video has "
        line += f"{self.mean_count:.2f} on average"
        of = self.official_counts
        if of is not None and of != listed:
            line += f"; annotated are {listed[0]:,} and {listed[1]:,}, officially {of[0]:,} and {of[1]:,}"
        rank_zero_info(line + self._missing_note(missing))
        self._report_left_out(left_out)
