"""Frames to video files."""

from collections.abc import Iterable, Iterator
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
    key_frame_interval: int | None = None,
    times: Iterable[int] | None = None,
    time_base: Fraction | None = None,
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
        key_frame_interval: of H.264: frames from a key frame to the next at most; no picture between them refers to one
            that may be left out, so that a reader of every other frame decodes fewer.
        times: presentation time of each frame in ticks, increasing; evenly spaced when None.
        time_base: seconds a tick, with ``times``.

    Raises:
        ValueError: there are not as many times as frames.
    """
    encoder, options = {
        "h264": ("libx264", {"crf": str(quality), "preset": preset}),
        "mpeg4": ("mpeg4", {"qmin": str(quality), "qmax": str(quality)}),
        "vp9": ("libvpx-vp9", {"crf": str(quality), "b": "0", "deadline": "realtime", "cpu-used": "8"}),
    }[codec]
    if key_frame_interval is not None:
        options |= {"g": str(key_frame_interval), "bf": "3", "x264-params": "b-pyramid=none:b-adapt=1"}
    timed = ((image, None) for image in frames) if times is None else zip(frames, times, strict=True)
    images: Iterator[tuple[np.ndarray, int | None]] = iter(timed)
    first = next(images)
    # Not bit-exact, a WebM is given a random number.
    with av.open(str(path), "w", format=container, container_options={"fflags": "bitexact"}) as output:
        stream = output.add_stream(encoder, rate=fps, options=options)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = first[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        if time_base is not None:
            stream.codec_context.time_base = time_base
        for image, time in chain([first], images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            if time is not None and time_base is not None:
                frame.pts, frame.time_base = time, time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
