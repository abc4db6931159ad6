"""UCF101-24: the 24 classes of UCF101 whose actors are annotated with boxes, in untrimmed clips.

Home page: https://www.crcv.ucf.edu/data/UCF101.php; annotations, corrected: Singh et al. 2017 (arXiv:1611.08563),
https://github.com/gurkirt/corrected-UCF101-Annots.
Licence: none is stated; the videos belong to who uploaded them.

=====  ======  =====
split  videos  tubes
=====  ======  =====
train  2,284   3,143
test   910     1,315
=====  ======  =====

The corrected annotations tell of 3,194 videos (the thesis counts 3,207) in 24 classes, with 573,862 boxes on pictures
of 320x240 pixels: in 340,336 frames of the training videos, and in 138,527 of the test videos' 159,289. In a video all
tubes are of one class; about a quarter of the videos have several. Annotated is the time in which the action takes
place, which in some classes is a small part of the video.

Tree: UCF101's videos ``root/<class>/v_<class>_gXX_cYY.avi``, in any folder, or pictures
``root/rgb-images/<class>/<video>/00001.jpg``. In ``root`` or beside it: the annotations, ``finalAnnots.mat``,
``pyannot.pkl`` or a folder ``labels`` (``readers/tubes.py``), and ``testlist01.txt``: a video
``Basketball/v_Basketball_g01_c01`` a line; lists of UCF101 itself, of which the annotated videos count, and lists of
frames such as ``labels/Basketball/v_Basketball_g01_c01/00009.txt`` are understood. Without ``trainlist01.txt`` all
other annotated videos are trained with. A left-right flip keeps the label.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor

from datamodules.broken_samples import BrokenSamplesDataModule
from datamodules.listed_videos import VideoFiles, stem_of
from datamodules.readers.annotations import find_file, read_lines
from datamodules.readers.numbered_pictures import FrameFolder
from datamodules.readers.tubes import VideoTubes, check_tubes, read_tubes
from datamodules.readers.video import VideoError, VideoReader
from datamodules.sample_datamodule import require_positive
from datamodules.sample_list import SampleList
from datamodules.tube_dataset import AnnotatedVideo, KeyFrameList, TubeDataset, TubeTable, collate

CLASSES = (
    *("Basketball", "BasketballDunk", "Biking", "CliffDiving", "CricketBowling", "Diving", "Fencing"),
    *("FloorGymnastics", "GolfSwing", "HorseRiding", "IceDancing", "LongJump", "PoleVault", "RopeClimbing"),
    *("SalsaSpin", "SkateBoarding", "Skiing", "Skijet", "SoccerJuggling", "Surfing", "TennisSwing"),
    *("TrampolineJumping", "VolleyballSpiking", "WalkingWithDog"),
)
ANNOTATIONS = ("finalAnnots.mat", "pyannot.pkl", "labels")
FOLDERS = ("annotations", "splitfiles", "ucfTrainTestlist", "ucf101_24")


class UCF10124DataModule(BrokenSamplesDataModule):
    """UCF101-24 by its first split, the only one that is used; batches are ``TubeBatch``.

    As in wei-tim/YOWO (``datasets/clip.py``) a clip ends in its key frame, and frames before the video's first repeat
    that one. Training takes each annotated frame of the training videos once an epoch; evaluation takes each frame of
    the test videos, in runs, so that a frame is decoded once for all clips that hold it.

    Args:
        root: folder of the videos or of ``rgb-images``.
        annotations: file or folder of the boxes; looked for as above when None.
        lists: folder of the lists; looked for as above when None.
        num_frames: frames of a clip (T).
        strides: distances between a clip's frames in training, one drawn per clip; evaluation takes consecutive frames.
        size: height and width that clips are brought to, whatever their aspect; 224 in wei-tim/YOWO.
        jitter: share of the picture by which each side of a training crop lies further in or out at most.
        train_step: of a training video's frames each so many-th is taken.
        train_unannotated: whether training also takes frames without a box; not as published.
        eval_frames: key frames of a run (K) in evaluation.
        picture_size: height and width in pixels that the annotations count in, whatever size the videos are stored in.
        global_batch_size: clips per optimizer step, over all processes and accumulated batches.
        eval_batch_size: runs per batch and process in evaluation.
        num_workers: see ``SampleDataModule``, as the next.
        seed: see there.

    Raises:
        ValueError: a number is out of range.
    """

    noun = "key frames"
    train_samples: KeyFrameList
    val_samples: KeyFrameList
    flip_keeps_labels = True

    collate = staticmethod(collate)

    def __init__(
        self,
        root: str | Path,
        annotations: str | Path | None = None,
        lists: str | Path | None = None,
        num_frames: int = 16,
        strides: tuple[int, ...] = (1, 2),
        size: int = 224,
        jitter: float = 0.2,
        train_step: int = 1,
        train_unannotated: bool = False,
        eval_frames: int = 16,
        picture_size: tuple[int, int] = (240, 320),
        global_batch_size: int = 64,
        eval_batch_size: int = 1,
        num_workers: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__(global_batch_size, eval_batch_size, None, num_workers, seed)
        require_positive(num_frames=num_frames, size=size, train_step=train_step, eval_frames=eval_frames)
        require_positive(picture_height=picture_size[0], picture_width=picture_size[1])
        if not strides or min(strides) < 1 or not 0 <= jitter < 0.5:
            raise ValueError(
                f"strides={tuple(strides)} must be numbers of at least 1, and jitter={jitter} a share below 0.5"
            )
        self.root = Path(root).expanduser()
        self.annotations = annotations
        self.lists = lists
        self.num_frames = num_frames
        self.strides = tuple(strides)
        self.size = size
        self.jitter = jitter
        self.train_step = train_step
        self.train_unannotated = train_unannotated
        self.eval_frames = eval_frames
        self.picture_size = (picture_size[0], picture_size[1])

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes, in the order of the annotations' numbers."""
        return CLASSES

    @property
    def preprocessing(self) -> dict[str, object]:
        """How evaluation prepares a clip, in plain JSON types, for the header of exported weights."""
        return {"num_frames": self.num_frames, "stride": 1, "short_side": self.size, "crop_size": self.size}

    @property
    def box_sizes(self) -> Tensor:
        """Width and height of all training boxes as shares of the picture, float32 (N, 2): what anchors are made of."""
        boxes = self.train_samples.table.boxes
        return boxes[:, 2:] - boxes[:, :2]

    def setup(self, stage: str) -> None:
        """List the videos, part them, and read their boxes.

        Raises:
            ValueError: a folder, the annotations or a list is missing or damaged, or one of the two parts is empty.
        """
        if hasattr(self, "train_samples"):
            return
        self.class_names = list(self.classes)
        self.num_classes = len(self.class_names)
        source = self._annotation_file()
        parts = split_videos(read_tubes(source), *self._lists())
        files = find_videos(self.root)
        missing: list[str] = []
        odd: dict[str, list[str]] = {}
        train, val = (TubeTable(self._found(files, part, missing, odd)) for part in parts)
        if not len(train.videos) or not len(val.videos):
            raise ValueError(
                f"{self.root}: holds {len(train.videos)} of the {len(parts[0]):,} videos to train with and"
                f" {len(val.videos)} of the {len(parts[1]):,} to test with that {source} and the lists tell of; set"
                " root to the folder of UCF101's videos, or of rgb-images"
            )
        self.train_samples = self._training(train)
        if not len(self.train_samples):
            raise ValueError(f"{source}: none of the training videos has a box; copy the annotations again")
        self.val_samples = self._evaluation(val)
        for what, lines in odd.items():
            rank_zero_warn(f"{len(lines):,} boxes are {what}, such as {lines[0]}")
        note = f"; {len(missing):,} annotated videos are missing, such as {missing[0]}" if missing else ""
        rank_zero_info(
            f"{type(self).__name__}: {len(train.videos):,} training videos with {len(self.train_samples):,} key frames,"
            f" {len(val.videos):,} for evaluation with {int(val.num_frames.sum()):,}, {self.num_classes} classes{note}"
        )

    def _annotation_file(self) -> Path:
        if self.annotations is None:
            return find_file(self.root, None, FOLDERS, ANNOTATIONS)
        given = Path(self.annotations).expanduser()
        file = next((path for path in (given, self.root / given) if path.exists()), None)
        if file is None:
            raise ValueError(f"{given}: no such file or folder; give {', '.join(ANNOTATIONS)}")
        return file

    def _lists(self) -> tuple[set[str] | None, set[str]]:
        test = find_file(self.root, self.lists, FOLDERS, ("testlist01.txt", "testlist.txt"))
        train = test.with_name(test.name.replace("test", "train"))
        return read_video_list(train) if train.is_file() else None, read_video_list(test)

    def _found(
        self, files: dict[str, str], videos: list[VideoTubes], missing: list[str], odd: dict[str, list[str]]
    ) -> list[AnnotatedVideo]:
        found = []
        height, width = self.picture_size
        for video in videos:
            path = files.get(stem_of(video.name).casefold())
            if path is None:
                missing.append(video.name)
                continue
            num_frames = count_frames(path) if video.num_frames is None else video.num_frames
            rows, boxes = check_tubes(video, num_frames, height, width, self.classes, odd)
            found.append(AnnotatedVideo(video.name, path, num_frames, rows, boxes))
        return found

    def _training(self, table: TubeTable) -> KeyFrameList:
        if self.train_unannotated:
            row = torch.arange(len(table.videos)).repeat_interleave(table.num_frames)
            start = torch.cat([torch.arange(frames) for frames in table.num_frames.tolist()])
        else:
            row, start = table.annotated_frames()
        kept = start % self.train_step == 0
        return KeyFrameList(table, row[kept], start[kept])

    def _evaluation(self, table: TubeTable) -> KeyFrameList:
        starts = [torch.arange(0, frames, self.eval_frames) for frames in table.num_frames.tolist()]
        row = torch.arange(len(starts)).repeat_interleave(torch.tensor([len(start) for start in starts]))
        return KeyFrameList(table, row, torch.cat(starts), self.eval_frames)

    def dataset(self, samples: SampleList, training: bool) -> TubeDataset:
        """Return the clips of listed key frames."""
        assert isinstance(samples, KeyFrameList)
        jitter, run = (self.jitter, None) if training else (0.0, self.eval_frames)
        return TubeDataset(samples, self.num_frames, self.strides, self.size, jitter, run)


def find_videos(root: Path) -> dict[str, str]:
    """Return videos by their names without folder, extension and case: folders in ``rgb-images``, or else files.

    Raises:
        ValueError: there is neither.
    """
    pictures = root / "rgb-images"
    if pictures.is_dir():
        return {path.name.casefold(): str(path) for path in sorted(pictures.glob("*/*")) if path.is_dir()}
    return {stem_of(path).casefold(): str(root / path) for path in VideoFiles(root).paths}


def count_frames(path: str) -> int:
    """Return how many frames a video has.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        with FrameFolder(path) if Path(path).is_dir() else VideoReader(path) as video:
            return video.num_frames
    except VideoError as error:
        raise ValueError(
            f"{error}; without it the boxes of its frames cannot be placed; replace or remove it"
        ) from None


def read_video_list(file: Path) -> set[str]:
    """Read a list of videos, or of their frames: names without folder, extension and case.

    Raises:
        ValueError: it is missing or empty, or a line names no video.
    """
    names = set()
    for number, line in read_lines(file):
        path, _, label = line.rpartition(" ")
        parts = (path.strip() if path and label.isdecimal() else line).split("/")
        if Path(parts[-1]).stem.isdecimal() and len(parts) > 1:
            parts.pop()
        name = stem_of(parts[-1]).casefold()
        if not name.startswith("v_"):
            raise ValueError(f"{file}:{number}: `{line}` is not `class/v_class_gXX_cYY`; correct the line")
        names.add(name)
    if not names:
        raise ValueError(f"{file}: is empty; give a list with a line `class/v_class_gXX_cYY` per video")
    return names


def split_videos(
    videos: list[VideoTubes], train: set[str] | None, test: set[str]
) -> tuple[list[VideoTubes], list[VideoTubes]]:
    """Part annotated videos into those to train and those to test with.

    Args:
        videos: all.
        train: names of the former; all that are not of the latter when None.
        test: names of the latter.
    """
    stems = [stem_of(video.name).casefold() for video in videos]
    held_out = [video for video, stem in zip(videos, stems, strict=True) if stem in test]
    others = [
        video
        for video, stem in zip(videos, stems, strict=True)
        if stem not in test and (train is None or stem in train)
    ]
    return others, held_out
