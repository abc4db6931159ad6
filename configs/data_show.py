"""``lightning data show``: what the data module of a config finds, and what its training samples look like."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor

import configs
from callbacks.contact_sheet import draw_contact_sheet, strips_of
from callbacks.pictures import write_picture
from callbacks.skeleton_pictures import class_name
from configs import ConfigError
from configs.command import Command
from configs.errors import UsageError, explain
from configs.severe_benchmark.command import make_parser, parse
from datamodules.arrow_of_time import ArrowOfTimeDataModule
from datamodules.charades import ActionList
from datamodules.keyframe_dataset import KeyframeList
from datamodules.repetition_dataset import RepetitionList
from datamodules.sample_datamodule import SampleDataModule
from datamodules.sample_list import SampleList
from datamodules.sampling.resumable_sampler import Draw, view_seed
from datamodules.tube_dataset import KeyFrameList
from datamodules.video_sequences import VideoSequenceList
from datamodules.window_dataset import WindowList

EXAMPLE = "as in: lightning data show tubelet.yaml --out data.png"
# Of the tensors of a sample, from the right: what is first may be left out.
AXES = {
    "clip": ("N", "T", "H", "W", "3"),
    "rgb": ("N", "T", "H", "W", "3"),
    "flow": ("N", "T", "H", "W", "2"),
    "depth": ("N", "T", "H", "W"),
    "frames": ("T", "H", "W", "3"),
    "skeleton": ("3", "T", "V", "M"),
}


class Data(Command):
    """The data module of a config, built as for ``lightning fit``; neither method nor trainer is."""

    def before_instantiate_classes(self) -> None:
        """Leave out what is not to be built."""
        for key in ("model", "trainer"):
            self._values.pop(key)

    def instantiate_classes(self) -> None:
        """Build; what is refused here is a wrong value."""
        try:
            self.config_init = self.parser.instantiate_classes(self.config)
        except Exception as error:
            if line := explain(error):
                raise UsageError(line) from error
            raise
        self.datamodule = self._get(self.config_init, "data")

    def after_instantiate_classes(self) -> None:
        """Nothing: there is no run folder."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Nothing."""


class ClassCounts(NamedTuple):
    """How often each class occurs in a list.

    Attributes:
        noun: what is counted.
        by_class: from 0, or -1 where there is none; of repetition counting by number of cycles.
    """

    noun: str
    by_class: Counter[int]


def run(arguments: list[str]) -> int:
    """Show the data of a config.

    Args:
        arguments: those after the subcommand.

    Returns:
        Exit code, as of ``cli.main``.

    Raises:
        ConfigError: an argument or the config is wrong.
        ValueError: the data are not there or damaged.
        OSError: a file cannot be read or written.
    """
    parser = make_parser(
        "lightning data",
        "Say what the data module of a config finds: samples of each split and class, their geometry, what is missing "
        "or twice there. With --out, draw random training samples as a method gets them, before it augments them. "
        "Arguments such as --data CLASS and --data.root FOLDER are those of lightning fit.",
    )
    parser.usage = "lightning data show CONFIG [--out FILE.png] [--samples N] [--data.KEY VALUE ...]"
    parser.add_argument("action", nargs="?", choices=["show"], help="show: the only one")
    parser.add_argument("config", nargs="?", metavar="CONFIG", help="as of lightning fit --config")
    parser.add_argument("--out", type=Path, help="contact sheet to write, a PNG file")
    parser.add_argument("--samples", type=int, default=8, metavar="N", help="on the sheet (default: 8)")
    parser.add_argument("--classes", type=int, default=20, metavar="N", help="lines of the table (default: 20)")
    other, arguments = configs.take(arguments, "--data")
    options, rest = parse(parser, arguments, passed_on=True)
    if other is not None:
        rest.insert(0, f"--data={other}")
    if options.action is None or options.config is None:
        raise ConfigError(f"data needs show and a config, {EXAMPLE}")
    if options.out is not None and options.out.suffix.lower() != ".png":
        raise ConfigError(f"data show: --out {options.out}: the sheet is a PNG file; give it such a name")
    if options.samples < 1 or options.classes < 3:
        raise ConfigError(f"data show: --samples {options.samples} must be at least 1, --classes at least 3")
    data = open_data(options.config, rest)
    console = Console()
    console.print(sizes(data), soft_wrap=True)
    console.print(table_of(data, options.classes))
    batch = read_batch(data, options.samples)
    for line in [*doubles(data), *geometry(data, batch)]:
        console.print(Text(line), soft_wrap=True)
    if options.out is not None:
        strips = strips_of(batch, data.class_names)
        title = f"{configs.find(options.config).stem}: training {data.noun} of {type(data).__name__}"
        write_picture(options.out, draw_contact_sheet(strips, title))
        console.print(Text(f"wrote {options.out}"), soft_wrap=True)
    return 0


def open_data(config: str, arguments: list[str]) -> SampleDataModule:
    """Build the data module of a config, and let it look at the disk.

    Args:
        config: see ``configs.find``.
        arguments: that change its values.

    Raises:
        ConfigError: the config is missing, or a value is wrong.
        ValueError: the data are not there or damaged.
        OSError: they cannot be read; embedded ones cannot be written.
    """
    data = build_data(config, arguments)
    if not isinstance(data, SampleDataModule):
        raise ConfigError(f"{configs.find(config)}: {type(data).__name__} has no lists of samples to show")
    data.prepare_data()
    data.setup("fit")
    return data


def build_data(config: str, arguments: list[str]) -> object:
    """Build the data module of a config; the disk is not looked at.

    Args:
        config: see ``configs.find``.
        arguments: that change its values.

    Raises:
        ConfigError: the config is missing, or a value is wrong.
    """
    try:
        return Data("fit", arguments, [configs.chain(config)]).datamodule
    except UsageError as error:
        raise ConfigError(str(error)) from error


def class_counts(samples: SampleList) -> ClassCounts:
    """Count what is labelled in a list: samples, boxes, actions of videos, or videos by their cycles."""
    if isinstance(samples, KeyframeList):
        labels = samples.true_label if len(samples.true_label) else samples.target.nonzero()[:, 1]
        return ClassCounts("boxes", Counter(labels.tolist()))
    if isinstance(samples, KeyFrameList):
        return ClassCounts("boxes", Counter(samples.box_labels().tolist()))
    if isinstance(samples, ActionList):
        return ClassCounts("actions", Counter(samples.action_classes.tolist()))
    if isinstance(samples, WindowList | VideoSequenceList):
        return ClassCounts("actions", Counter(samples.segments[:, 0].tolist()))
    if isinstance(samples, RepetitionList):
        return ClassCounts("videos", Counter(samples.counts.tolist()))
    return ClassCounts("samples", Counter(samples.labels.tolist()))


def lists_of(data: SampleDataModule) -> dict[str, SampleList]:
    """The training list, and that for evaluation where it is another."""
    lists = {"training": data.train_samples}
    return lists if data.val_samples is data.train_samples else {**lists, "evaluation": data.val_samples}


def sizes(data: SampleDataModule) -> str:
    """Say how long the lists are."""
    lists = lists_of(data)
    line = ", ".join(f"{_length(samples, data.noun)} for {name}" for name, samples in lists.items())
    return line if len(lists) > 1 else f"{line}; nothing is held out"


def _length(samples: SampleList, noun: str) -> str:
    if isinstance(samples, KeyFrameList) and samples.run > 1:
        return f"{len(samples):,} runs of {samples.run:,} {noun}"
    return f"{len(samples):,} {noun}"


def table_of(data: SampleDataModule, lines: int) -> Table:
    """Lay out how often each class occurs in both splits, the most frequent first.

    Args:
        data: set up.
        lines: of the table; where there are more classes, those before the last ones are one line.
    """
    parts = lists_of(data)
    train = data.train_samples
    counts = [class_counts(samples) for samples in parts.values()]
    repetitions = isinstance(train, RepetitionList)
    noun = counts[0].noun if counts[0].noun != "samples" else data.noun
    table = Table(box=None, pad_edge=False, header_style="bold", caption_justify="left")
    table.add_column("cycles" if repetitions else "class", overflow="fold")
    for name in parts:
        table.add_column(f"{name} {noun}", justify="right")
    found = sorted(
        {label for part in counts for label in part.by_class}, key=lambda label: (-counts[0].by_class[label], label)
    )
    if repetitions:
        found.sort()
    shown = found if len(found) <= lines else [*found[: lines - 3], *found[-2:]]
    for number, label in enumerate(shown):
        if len(shown) < len(found) and number == lines - 3:
            rest = found[lines - 3 : -2]
            ranges = [_range([part.by_class[other] for other in rest]) for part in counts]
            table.add_row(f"… {len(rest):,} more", *ranges)
        name = str(label) if repetitions else class_name(label, data.class_names)
        table.add_row(Text(name), *(f"{part.by_class[label]:,}" for part in counts))
    table.add_section()
    table.add_row("all", *(f"{part.by_class.total():,}" for part in counts))
    absent = 0 if repetitions else (data.num_classes or 0) - len([label for label in found if label >= 0])
    if absent > 0:
        table.caption = f"classes that do not occur: {absent:,} of {data.num_classes:,}"
    return table


def _range(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,} each" if low == high else f"{low:,} to {high:,} each"


def doubles(data: SampleDataModule) -> list[str]:
    """Say which samples a list holds twice, and which both lists hold; empty where there are none."""
    both_ways = isinstance(data, ArrowOfTimeDataModule)
    lists = {name: _keys(samples, both_ways) for name, samples in lists_of(data).items()}
    lines = []
    for name, keys in lists.items():
        if twice := [key for key, count in Counter(keys).items() if count > 1]:
            lines.append(f"{len(twice):,} are more than once in the {name} list, such as {twice[0][0]}")
    if len(lists) == 2 and (both := set(lists["training"]) & set(lists["evaluation"])):
        lines.append(f"{len(both):,} are in both lists, such as {min(both)[0]}")
    return lines


def _keys(samples: SampleList, both_ways: bool) -> list[tuple[str, object]]:
    """What tells samples apart: file and part of it, or where each is listed both ways the direction."""
    if isinstance(samples, WindowList):
        return [(samples.videos.path(row), None) for row in range(len(samples.videos))]
    if isinstance(samples, KeyFrameList):
        return [(samples.path(row), int(samples.start[row])) for row in range(len(samples))]
    if both_ways:
        return [(samples.path(row), samples.label(row)) for row in range(len(samples))]
    return [(samples.path(row), samples.segment(row)) for row in range(len(samples))]


def read_batch(data: SampleDataModule, count: int) -> Mapping[str, Any]:
    """Read random training samples, those that ``data.seed`` draws, as in training.

    Raises:
        ValueError: they cannot be read.
    """
    samples = data.train_samples
    rows = torch.randperm(len(samples), generator=torch.Generator().manual_seed(data.seed))[:count].tolist()
    draws = [Draw(row, view_seed(data.seed, 0, row)) for row in rows]
    dataset: Any = data.dataset(samples, training=True)
    read = dataset.__getitems__(draws) if hasattr(dataset, "__getitems__") else [dataset[draw] for draw in draws]
    batch: Mapping[str, Any] = data.collate(read)
    return batch


def geometry(data: SampleDataModule, batch: Mapping[str, Any]) -> list[str]:
    """Say what a training sample is made of, how evaluation prepares one, and what could not be read."""
    lines = []
    for key, axes in AXES.items():
        value = batch.get(key)
        if isinstance(value, Tensor) and value.ndim > 2:
            shape = value.shape[1:]
            names = " ".join(axes[len(axes) - len(shape) :])
            lines.append(f"a training sample: {key}, {str(value.dtype)[6:]} {' x '.join(map(str, shape))} ({names})")
    preprocessing = getattr(data, "preprocessing", None)
    if preprocessing:
        told = ", ".join(f"{key} {value}" for key, value in preprocessing.items() if value is not None)
        lines.append(f"in evaluation: {told}")
    lines += [f"broken: {line}" for line in batch.get("broken", [])]
    return lines
