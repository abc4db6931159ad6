"""Tiny real video files for the tests, written with PyAV."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def moving_texture(num_frames: int, height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """Frames that all differ: blocks of random colour that slide, and a bright square that moves faster.

    Returns:
        uint8 (num_frames, height, width, 3), RGB.
    """
    generator = np.random.default_rng(seed)
    blocks = generator.integers(0, 200, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    texture = blocks.repeat(8, axis=0).repeat(8, axis=1)
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    for number in range(num_frames):
        frames[number] = np.roll(texture, (number, 2 * number), axis=(0, 1))[:height, :width]
        top, left = 5 * number % (height - 8), 7 * number % (width - 8)
        frames[number, top : top + 8, left : left + 8] = 255 - number % 40
    return frames


def write_video(
    path: Path,
    frames: np.ndarray | int = 20,
    fps: int = 25,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: Mapping[str, str] | None = None,
    max_b_frames: int | None = None,
    key_frame_interval: int = 12,
    times: Sequence[int] | None = None,
    rotation: int = 0,
    first_stream_size: tuple[int, int] | None = None,
    container_options: Mapping[str, str] | None = None,
) -> Path:
    """Writes a video; the container follows the suffix (.mp4, .mkv, .avi, .ts, ...).

    Args:
        path: File to write; missing folders are made.
        frames: uint8 (num_frames, H, W, 3) RGB with even sides, or a number of frames of :func:`moving_texture`.
        fps: Frames per second.
        codec: An encoder of FFmpeg. With "libx264" and no `options` the file is lossless but for the colour format.
        pixel_format: Format that is stored, such as "yuv420p10le".
        options: Options of the encoder.
        max_b_frames: Most B-frames in a row; None leaves it to the encoder.
        key_frame_interval: Most frames from one key frame to the next.
        times: Presentation time of each frame in milliseconds, increasing; evenly spaced by `fps` when None.
        rotation: Degrees, counter-clockwise, that a player shall turn the picture by (.mp4 and .mov only).
        first_stream_size: (H, W) of another, smaller video stream, put before the main one.
        container_options: Options of the muxer.

    Returns:
        `path`.
    """
    if isinstance(frames, int):
        frames = moving_texture(frames)
    if options is None:
        options = {"qp": "0"} if codec == "libx264" else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w", options=dict(container_options or {})) as container:
        streams = []
        if first_stream_size is not None:
            small = frames[:, : first_stream_size[0], : first_stream_size[1]]
            streams.append((container.add_stream(codec, rate=fps, options=dict(options)), small))
        streams.append((container.add_stream(codec, rate=fps, options=dict(options)), frames))
        for stream, pictures in streams:
            stream.height, stream.width = pictures.shape[1:3]
            stream.pix_fmt = pixel_format
            stream.codec_context.gop_size = key_frame_interval
            if max_b_frames is not None:
                stream.codec_context.max_b_frames = max_b_frames
            if times is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
            if rotation:
                stream.set_display_rotation(rotation)
        for number in range(len(frames)):
            for stream, pictures in streams:
                picture = np.ascontiguousarray(pictures[number])
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixel_format)
                frame.pts = number if times is None else times[number]
                frame.time_base = Fraction(1, fps) if times is None else Fraction(1, 1000)
                container.mux(stream.encode(frame))
        for stream, _ in streams:
            container.mux(stream.encode())
    return path
