"""Frames to video files."""

from pathlib import Path
from typing import Literal

import av
import numpy as np

Codec = Literal["h264", "mpeg4", "vp9"]


def require_encodable(video_frames: int, height: int, width: int) -> None:
    """Check the size of videos before they are made.

    Raises:
        ValueError: height or width is odd, which the encoders do not take, or a video would have less than two frames.
    """
    if height % 2 or width % 2 or min(height, width, video_frames) < 2:
        raise ValueError(f"height={height} and width={width} must be even, video_frames={video_frames} at least 2")


def write_video(path: Path, frames: np.ndarray, fps: int = 30, quality: int = 18, codec: Codec = "h264") -> None:
    """Write a video file; the same frames give the same bytes.

    Args:
        path: ends in the container's extension, such as ``.mp4``.
        frames: uint8 (T, H, W, 3), RGB; H and W even.
        fps: frames per second.
        quality: constant rate factor of H.264 and VP9: 0 is lossless (H.264), 18 looks so, 51 is worst; quantiser of
            MPEG-4: 1 is best, 31 is worst.
        codec: ``mpeg4`` is that of UCF101's files, ``vp9`` that of Something-Something's.
    """
    encoder, options = {
        "h264": ("libx264", {"crf": str(quality), "preset": "ultrafast"}),
        "mpeg4": ("mpeg4", {"qmin": str(quality), "qmax": str(quality)}),
        "vp9": ("libvpx-vp9", {"crf": str(quality), "b": "0", "deadline": "realtime", "cpu-used": "8"}),
    }[codec]
    _, height, width, _ = frames.shape
    # Not bit-exact, a WebM is given a random number.
    with av.open(str(path), "w", container_options={"fflags": "bitexact"}) as container:
        stream = container.add_stream(encoder, rate=fps, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
