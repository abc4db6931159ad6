"""Frames to video files."""

from pathlib import Path

import av
import numpy as np


def write_video(path: Path, frames: np.ndarray, fps: int = 30, quality: int = 18) -> None:
    """Write an H.264 file.

    Args:
        path: ends in the container's extension, such as ``.mp4``.
        frames: uint8 (T, H, W, 3), RGB; H and W even.
        fps: frames per second.
        quality: constant rate factor of x264: 0 is lossless, 18 looks so, 51 is worst.
    """
    _, height, width, _ = frames.shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": str(quality), "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
