"""The elements of FineGym, cut out of the raw videos of YouTube."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from datamodules.fine_gym_lists import read_elements, read_spans, video_of
from datamodules.prepare_segments import Cut, PreparedSegments, cut_out, long_videos

# A download is named by its id alone, or ends in it: `Title [id].webm`.
_RAW_NAME = re.compile(r"(?:.*\[)?([\w-]{11})\]?", re.ASCII | re.DOTALL)


def prepare_finegym(
    root: str | Path,
    annotations: str | Path,
    out: str | Path,
    lists: Sequence[str | Path] = (),
    short_side: int | None = 256,
    workers: int | None = None,
    progress: bool = True,
) -> PreparedSegments:
    """Cut the elements of FineGym out of the raw videos, as of ``prepare_segments.cut_out``.

    Args:
        root: folder of the videos, named by their YouTube ids (``<id>.mp4``, ``Title [<id>].webm``), nested or flat.
        annotations: the times, as of ``fine_gym_lists.read_spans``.
        out: folder of the elements; ``data.root`` of FineGymDataModule.
        lists: element lists; only elements in one of them are cut out. All of ``annotations`` when empty.
        short_side: pixels; see ``cut_out``.
        workers: see there.
        progress: see there.

    Raises:
        ValueError: a file or folder is missing or cannot be understood, a listed element has no times, a video is there
            twice; and as of ``cut_out``.
    """
    root, annotations, out = (Path(path).expanduser() for path in (root, annotations, out))
    spans = read_spans(annotations)
    names = list(spans)
    if lists:
        names = list(
            dict.fromkeys(element.name for file in lists for element in read_elements(Path(file).expanduser()))
        )
        unknown = next((name for name in names if name not in spans), None)
        if unknown is not None:
            raise ValueError(f"{annotations}: lacks {unknown}, which is listed; take lists and annotations together")

    def youtube_id(stem: str) -> str | None:
        match = _RAW_NAME.fullmatch(stem)
        return match[1] if match else None

    videos = long_videos(root, youtube_id, "0LtLS9wROrk")
    cuts = [Cut(name, video_of(name), *spans[name]) for name in names]
    source = {"annotations": hashlib.sha256(annotations.read_bytes()).hexdigest()}
    return cut_out(root, videos, cuts, out, source, "elements of FineGym", short_side, workers, progress)
