"""Any folder of videos: nested or flat, no labels, no list.

Tree: free. Classes: none. Samples: every video below the folder, for training and for evaluation alike.
A left-right flip changes nothing that is known here.
"""

from pathlib import Path

from datamodules.sample_list import SampleList, find_videos
from datamodules.video_datamodule import VideoDataModule


class VideoFolderDataModule(VideoDataModule):
    """All videos below a folder, in sorted order, without labels; nothing is held out.

    Args:
        root: the folder; hidden files and folders in it are left out, links are followed.
        num_frames: see ``VideoDataModule``, as all that follow.
        num_clips: see there.
        strides: see there.
        temporal_jitter: see there.
        fps: see there.
        crop_size: see there.
        short_sides: see there.
        eval_clips: see there.
        clip_cache: see there.
        global_batch_size: see there.
        eval_batch_size: see there.
        num_workers: see there.
        seed: see there.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        root: str | Path,
        num_frames: int = 16,
        num_clips: int = 1,
        strides: tuple[int, ...] = (1, 2, 3, 4),
        temporal_jitter: bool = True,
        fps: float | None = None,
        crop_size: int = 112,
        short_sides: tuple[int, ...] = (112, 128, 144),
        eval_clips: int = 10,
        clip_cache: str | Path | None = None,
        global_batch_size: int = 32,
        eval_batch_size: int = 8,
        num_workers: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__(
            num_frames=num_frames,
            num_clips=num_clips,
            strides=strides,
            temporal_jitter=temporal_jitter,
            fps=fps,
            crop_size=crop_size,
            short_sides=short_sides,
            eval_clips=eval_clips,
            clip_cache=clip_cache,
            global_batch_size=global_batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            seed=seed,
        )
        self.root = Path(root).expanduser()

    def setup(self, stage: str) -> None:
        """List the videos.

        Raises:
            ValueError: the folder is missing, is a file, or holds no video.
        """
        if hasattr(self, "train_samples"):
            return
        samples = SampleList((str(self.root / name), -1) for name in find_videos(self.root))
        if not len(samples):
            raise ValueError(f"{self.root}: holds no videos; give a folder with files such as .mp4, .mkv or .avi in it")
        self.train_samples = self.val_samples = samples
        self.num_classes = 0
        self._report(missing=[])
