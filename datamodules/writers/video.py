"""Frames to video files."""

from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.video.stream import VideoStream

Codec = Literal["h264", "mpeg4", "vp9"]


def require_encodable(video_frames: int, height: int, width: int) -> None:
    """Check the size of videos before they are made.

    Raises:
        ValueError: height or width is odd, which the encoders do not take, or a video would have less than two frames.
    """
    if height % 2 or width % 2 or min(height, width, video_frames) < 2:
        raise ValueError(f"height={height} and width={width} must be even, video_frames={video_frames} at least 2")


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    fps: int | Fraction = 30,
    quality: int = 18,
    codec: Codec = "h264",
    preset: str = "ultrafast",
    container: str | None = None,
) -> None:
    """Write a video file; the same frames give the same bytes.

    Args:
        path: ends in the extension of ``container``, such as ``.mp4``, unless that is given.
        frames: uint8 (H, W, 3) each, RGB, at least one, all of one size; H and W even.
        fps: frames per second.
        quality: constant rate factor of H.264 and VP9: 0 is lossless (H.264), 18 looks so, 51 is worst; quantiser of
            MPEG-4: 1 is best, 31 is worst.
        codec: ``mpeg4`` is that of UCF101's files, ``vp9`` that of Something-Something's.
        preset: of H.264: slower ones make smaller files.
        container: name of the format, such as ``mp4``.
    """
    encoder, options = {
        "h264": ("libx264", {"crf": str(quality), "preset": preset}),
        "mpeg4": ("mpeg4", {"qmin": str(quality), "qmax": str(quality)}),
        "vp9": ("libvpx-vp9", {"crf": str(quality), "b": "0", "deadline": "realtime", "cpu-used": "8"}),
    }[codec]
    images = iter(frames)
    first = next(images)
    # Not bit-exact, a WebM is given a random number.
    with av.open(str(path), "w", format=container, container_options={"fflags": "bitexact"}) as output:
        stream = output.add_stream(encoder, rate=fps, options=options)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for image in chain([first], images):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        output.mux(stream.encode())
