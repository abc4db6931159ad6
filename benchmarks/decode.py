"""Clips decoded per second on one core: this project's reader against plain ways to decode.

``python -m benchmarks.decode [VIDEO...]`` makes a table per video. Without a video it writes one: 10 seconds
of 340x256 H.264 at 30 frames per second, moving texture with grain, encoded as Kinetics copies usually are.
The variants take turns, clip by clip, on the same random clips, so that other load on the machine hits all alike.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from torch.nn.functional import interpolate

from benchmarks.record import record
from datamodules.readers.video import VideoReader
from datamodules.sampling.clips import ClipSampler

SHORT_SIDE = 128
TORCHCODEC = "torchcodec, exact seek, torch resize"

Decoder = Callable[[Path, np.ndarray], np.ndarray]


def write_texture(path: Path, seconds: int = 10, fps: int = 30, height: int = 256, width: int = 340) -> None:
    """Writes H.264 of random texture that moves and shears, with grain (x264, CRF 23, a key frame every 250)."""
    generator = np.random.default_rng(0)
    coarse = torch.from_numpy(generator.uniform(0, 255, (1, 3, 24, 32)))
    texture = (
        interpolate(coarse, size=(2 * height, 2 * width), mode="bicubic").clamp(0, 255)[0].permute(1, 2, 0).numpy()
    )
    rows, columns = np.mgrid[:height, :width]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "23"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for number in range(seconds * fps):
            shear = 20 * np.sin(number / 15) * np.sin(rows / 30)
            picture = texture[
                (rows + 2 * number) % (2 * height), (columns + 3 * number + shear.astype(int)) % (2 * width)
            ]
            picture = (picture + generator.normal(0, 6, picture.shape)).clip(0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def resize(frames: np.ndarray) -> np.ndarray:
    """Scales uint8 (T, H, W, 3) to the short side with torch, bilinear and antialiased as FFmpeg does."""
    height, width = frames.shape[1:3]
    scale = SHORT_SIDE / min(height, width)
    size = (round(height * scale), round(width * scale))
    channels_first = torch.from_numpy(frames).permute(0, 3, 1, 2)
    scaled = interpolate(channels_first, size=size, mode="bilinear", antialias=True, align_corners=False)
    return scaled.permute(0, 2, 3, 1).contiguous().numpy()


def decode_with_reader(path: Path, indices: np.ndarray) -> np.ndarray:
    """This project's reader."""
    with VideoReader(path) as video:
        return video.read(indices, short_side=SHORT_SIDE)


def decode_whole(path: Path, indices: np.ndarray) -> np.ndarray:
    """Plain PyAV: all frames of the video at full size, then the clip, then a resize with torch."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
    return resize(frames[indices])


def decode_to_clip_end(path: Path, indices: np.ndarray) -> np.ndarray:
    """Plain PyAV: from the start to the last frame of the clip, of which those wanted are kept; then a resize."""
    kept = {}
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for number, frame in enumerate(container.decode(stream)):
            if number in indices:
                kept[number] = frame.to_ndarray(format="rgb24")
            if number == indices.max():
                break
    return resize(np.stack([kept[number] for number in indices.tolist()]))


def torchcodec_decoder() -> Decoder | str:
    """The decoder of torchcodec, or why there is none."""
    try:
        from torchcodec.decoders import VideoDecoder
    except (ImportError, RuntimeError) as error:
        return (str(error).splitlines() or [type(error).__name__])[0]

    def decode_with_torchcodec(path: Path, indices: np.ndarray) -> np.ndarray:
        decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1)
        return resize(decoder.get_frames_at(indices.tolist()).data.numpy())

    return decode_with_torchcodec


def measure(path: Path, decoders: dict[str, Decoder], num_clips: int) -> dict[str, list[float]]:
    """Seconds per clip of each decoder, on the same clips, taking turns."""
    generator = torch.Generator().manual_seed(0)
    sampler = ClipSampler(num_frames=16, strides=(1, 2, 3, 4))
    seconds: dict[str, list[float]] = {name: [] for name in decoders}
    for turn in range(num_clips + 1):
        with VideoReader(path) as video:
            indices = sampler.random(video, generator)[0]
        for name, decode in decoders.items():
            start = time.perf_counter()
            decode(path, indices)
            if turn:  # the first turn warms up
                seconds[name].append(time.perf_counter() - start)
    return seconds


def rows(seconds: dict[str, list[float]]) -> list[dict[str, object]]:
    """The table of a video; the last column is the median of ratios to ours."""
    ours = next(iter(seconds.values()))
    return [
        {
            "way": name,
            "ms a clip": 1e3 * statistics.median(values),
            "clips/s": len(values) / sum(values),
            "time, ours = 1": statistics.median(value / own for value, own in zip(values, ours, strict=True)),
        }
        for name, values in seconds.items()
    ]


def main() -> None:
    """Measures the videos named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path, metavar="VIDEO")
    parser.add_argument("--clips", type=int, default=40, help="clips per video and decoder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    decoders: dict[str, Decoder] = {
        "ours: seek, decode what the clip needs, scale in FFmpeg": decode_with_reader,
        "PyAV, whole video at full size, torch resize": decode_whole,
        "PyAV, start to clip end, torch resize": decode_to_clip_end,
    }
    torchcodec = torchcodec_decoder()
    if isinstance(torchcodec, str):
        print(f"torchcodec left out: {torchcodec}")
    else:
        decoders[TORCHCODEC] = torchcodec
    with tempfile.TemporaryDirectory() as folder:
        videos = arguments.videos
        if not videos:
            videos = [Path(folder) / "texture.mp4"]
            write_texture(videos[0])
        tables = {path.name: rows(measure(path, decoders, arguments.clips)) for path in videos}
        if TORCHCODEC not in decoders:
            for table in tables.values():
                table.append({"way": TORCHCODEC, "ms a clip": "not measured"})
    record("decode_files" if arguments.videos else "decode", tables, seed=0)


if __name__ == "__main__":
    main()
