"""``lightning prepare clips``: its arguments, and what those of a config come to."""

import inspect
import math
import os
from pathlib import Path

from configs import ConfigError
from configs.severe_benchmark.command import make_parser, parse
from datamodules.clip_cache import ClipLayout

DEFAULT = ClipLayout(clips=4, frames=16, stride=2, fps=None, height=128, width=170)
EXAMPLES = "as in: prepare clips --root A --out B --frames 16 --stride 2, or: prepare clips --config NAME --out B"


def clips(arguments: list[str]) -> object:
    """Decode clips of videos into a cache.

    Args:
        arguments: those after ``prepare clips``.

    Returns:
        What was done, to be printed.

    Raises:
        ConfigError: an argument or the config is wrong.
        ValueError: the videos are not there, or the cache cannot be written.
        KeyboardInterrupt: it was stopped; the same arguments go on.
    """
    parser = make_parser(
        "lightning prepare clips",
        "Decode evenly spaced clips of videos once, into a folder that the data modules of videos take as"
        " --data.clip_cache. With --config the videos and what is not given are those of its data module, and"
        " arguments such as --data.root are those of lightning fit.",
    )
    parser.add_argument("--root", type=Path, help="folder of the videos; of a config: in place of its data.root")
    parser.add_argument("--config", help="whose videos to take, with all frames that its clips may need")
    parser.add_argument("--out", type=Path, help="folder to make")
    parser.add_argument("--clips", type=int, default=DEFAULT.clips, help=f"of a video (default: {DEFAULT.clips})")
    parser.add_argument("--frames", type=int, help="of a clip (default: 16)")
    parser.add_argument("--stride", type=int, help="frames of the video from one to the next (default: 2)")
    parser.add_argument("--fps", type=float, help="frames per second, in place of a stride")
    parser.add_argument("--size", type=int, nargs=2, metavar=("H", "W"), help="of a frame in pixels (default: 128 170)")
    parser.add_argument("--squeeze", action="store_true", help="the whole picture in place of the centre that fits")
    parser.add_argument("--shard_mib", type=int, default=4096, help="size of a file at most (default: 4096)")
    parser.add_argument("--workers", type=int, help="processes; by default as many as there are cores")
    options, rest = parse(parser, arguments, passed_on=True)
    if options.out is None or (options.root is None and options.config is None):
        raise ConfigError(f"prepare clips needs --root FOLDER or --config NAME, and --out FOLDER, {EXAMPLES}")
    if options.config is None and rest:
        raise ConfigError(f"prepare clips: {rest[0]} needs a --config, {EXAMPLES}")
    if options.stride is not None and options.fps is not None:
        raise ConfigError("prepare clips: --stride and --fps are two ways; give one of them")
    from datamodules.prepare_clips import prepare_clips

    root, videos, layout = options.root, None, DEFAULT
    if options.config is not None:
        root, videos, layout = of_config(options.config, root, rest)
    if options.stride is not None:
        layout = layout._replace(stride=options.stride, fps=None)
    if options.fps is not None:
        layout = layout._replace(fps=options.fps)
    height, width = options.size or (layout.height, layout.width)
    return prepare_clips(
        root,
        options.out,
        options.clips,
        layout.frames if options.frames is None else options.frames,
        layout.stride or 1,
        layout.fps,
        height,
        width,
        options.squeeze,
        videos,
        options.shard_mib << 20,
        options.workers,
    )


def of_config(config: str, root: Path | None, arguments: list[str]) -> tuple[Path, list[str], ClipLayout]:
    """Find the videos of a config, and what its clips come to.

    Args:
        config: as of ``lightning fit --config``.
        root: in place of its ``data.root``.
        arguments: that change its values.

    Returns:
        The folder of the videos; the names of those that are listed; and frames, stride, fps and size of clips that
        hold all that training may draw: at the highest of its short sides, four wide to three high.

    Raises:
        ConfigError: the config is wrong, or does not read clips of whole videos.
        ValueError: the videos are not there.
    """
    from configs.data_show import build_data, lists_of
    from datamodules.video_datamodule import VideoDataModule

    data = build_data(config, [*arguments, *([] if root is None else ["--data.root", str(root)])])
    if not isinstance(data, VideoDataModule) or "clip_cache" not in inspect.signature(type(data)).parameters:
        raise ConfigError(f"prepare clips: {config} reads no clips of videos, but {type(data).__name__}")
    data.prepare_data()
    data.setup("fit")
    lists = lists_of(data).values()
    if any(samples.bounds is not None for samples in lists):
        raise ConfigError(f"prepare clips: {config} reads parts of videos; cut them out first (prepare finegym, epic)")
    names = {os.path.relpath(samples.path(row), data.root) for samples in lists for row in range(len(samples))}
    stride = math.gcd(*data.strides)
    last = (data.num_frames - 1) * max(data.strides) + (max(data.strides) - stride if data.temporal_jitter else 0)
    side = max(data.short_sides)
    frames = data.num_frames if data.fps is not None else last // stride + 1
    return data.root, sorted(names), ClipLayout(DEFAULT.clips, frames, stride, data.fps, side, round(4 * side / 3))
