"""Tables 2.2 to 2.6 in small: students of depth and skeletons with few labels, and detection, on the embedded data.

    python benchmarks/transfer_tables.py --out runs/transfer_tables

Each row is a run of ``lightning fit`` with a shipped config in a folder of its own: teachers and transfers once (seed
0), fine-tuning and detection for each seed, which draws other labels, crops and first weights of what is new. A
finished run is not repeated, and a stopped one goes on. With more labels there are fewer epochs, so that all take about
the same number of steps. Then the tables are printed in Markdown: mean and standard deviation over the seeds.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from callbacks.run_summary import missing_end, summarise

LABELS = {5: 100, 20: 30, 50: 14}
"""Epochs by labels of each class."""
FRACTIONS = {0.25: 32, 0.5: 16, 1.0: 8}
"""Epochs of detection by the share of the labelled videos."""


class Source(NamedTuple):
    """A run that others start from."""

    config: str
    arguments: tuple[str, ...] = ()


class Row(NamedTuple):
    """A row of a table: what its runs start from, None for nothing, and what else they are given."""

    source: str | None
    config: str
    arguments: tuple[str, ...] = ()


# In the order in which they are needed.
SOURCES = {
    "teacher_flow": Source("transfer_teacher.yaml"),
    "teacher_rgb": Source("transfer_teacher_rgb.yaml"),
    "flow": Source("transfer.yaml"),
    "flow_clip_to_clip": Source("transfer.yaml", ("--model.granularity", "clip_to_clip")),
    "flow_video_to_clip": Source("transfer.yaml", ("--model.granularity", "video_to_clip")),
    "flow_mse": Source("transfer.yaml", ("--model.loss", "mse")),
    "rgb": Source("transfer_rgb.yaml"),
    "skeleton_flow": Source("transfer_skeleton.yaml"),
}
_ALL_TRAINS = ("--model.train_only", "null")
_DEPTH, _SKELETON = "transfer_finetune.yaml", "transfer_skeleton_finetune.yaml"
RECOGNITION = {
    "depth, from scratch": Row(None, _DEPTH, _ALL_TRAINS),
    "depth, flow pretraining": Row("teacher_flow", _DEPTH, ("--model.adapt_input", "true", *_ALL_TRAINS)),
    "depth, RGB pretraining": Row("teacher_rgb", _DEPTH, ("--model.adapt_input", "true", *_ALL_TRAINS)),
    "depth, from flow, combined": Row("flow", _DEPTH),
    "depth, from flow, clip-to-clip": Row("flow_clip_to_clip", _DEPTH),
    "depth, from flow, video-to-clip": Row("flow_video_to_clip", _DEPTH),
    "depth, from flow, combined, MSE": Row("flow_mse", _DEPTH),
    "depth, from RGB, combined": Row("rgb", _DEPTH),
    "skeleton, from scratch": Row(None, _SKELETON),
    "skeleton, from flow": Row("skeleton_flow", _SKELETON),
}
DETECTION = {
    "from scratch": Row(None, "detection.yaml"),
    "flow pretraining": Row("teacher_flow", "detection.yaml", ("--model.adapt_input", "true")),
    "from flow": Row("flow", "detection.yaml"),
}


def fit(folder: Path, config: str, arguments: list[str]) -> None:
    """Run, or go on with, one fit, unless it is finished."""
    if folder.is_dir() and not missing_end(folder):
        return
    print(folder, flush=True)
    command = [sys.executable, "-c", "import sys, cli; sys.exit(cli.main())", "fit", "--config", config, *arguments]
    command += ["--run_dir", str(folder), "--data.num_workers", "0", "--trainer.enable_progress_bar", "false"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def prepare(out: Path, name: str) -> Path:
    """Train a source and what it comes from; return its checkpoint."""
    source, arguments = SOURCES[name], []
    if not name.startswith("teacher"):
        teacher = prepare(out, "teacher_rgb" if "rgb" in name else "teacher_flow")
        arguments = ["--model.teacher_weights", str(teacher)]
    fit(out / name, source.config, [*source.arguments, *arguments])
    return out / name / "checkpoints" / "last.ckpt"


def start(out: Path, row: Row, seed: int, epochs: int, milestone: float) -> list[str]:
    """Arguments of a run of a row."""
    weights = "null" if row.source is None else str(prepare(out, row.source))
    return [
        *("--model.weights", weights, *row.arguments, "--seed_everything", str(seed)),
        *("--trainer.max_epochs", str(epochs), "--trainer.check_val_every_n_epoch", str(epochs)),
        *("--model.milestones", f"[{round(milestone * epochs)}]"),
    ]


def recognise(out: Path, name: str, labels: int, seed: int) -> None:
    """Fine-tune one row with some labels of each class."""
    row = RECOGNITION[name]
    arguments = start(out, row, seed, LABELS[labels], 0.75)
    arguments += ["--data.labels_per_class", str(labels), "--data.labels_seed", str(seed)]
    fit(run_folder(out, name, labels, seed), row.config, arguments)


def detect(out: Path, name: str, fraction: float, seed: int) -> None:
    """Train a detector of one row with a share of the videos."""
    row = DETECTION[name]
    arguments = start(out, row, seed, FRACTIONS[fraction], 0.75)
    arguments += ["--data.train_fraction", str(fraction), "--data.fraction_seed", str(seed)]
    fit(run_folder(out, f"detection, {name}", fraction, seed), row.config, arguments)


def run_folder(out: Path, name: str, amount: float, seed: int) -> Path:
    """Where a run of a row lies."""
    return out / name.replace(", ", ".").replace(" ", "_") / f"{amount:g}" / f"seed_{seed}"


def table(out: Path, rows: dict[str, str], amounts: dict[int, int] | dict[float, int], metric: str) -> list[str]:
    """Markdown of what is finished: mean and deviation in %, and of how many seeds."""
    lines = [f"| {metric} | " + " | ".join(f"{amount:g}" for amount in amounts) + " |", "|---|" + "---|" * len(amounts)]
    for label, name in rows.items():
        cells = (cell(run_folder(out, name, amount, 0).parent, metric) for amount in amounts)
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return lines


def cell(folder: Path, metric: str) -> str:
    """Mean and deviation over the finished seeds in %, and how many these are."""
    folders = [seed for seed in folder.glob("seed_*") if not missing_end(seed)]
    if not folders:
        return ""
    spread = summarise(folders, (metric,)).spreads[metric]
    deviation = "" if spread.deviation is None else f" ± {100 * spread.deviation:.1f}"
    return f"{100 * spread.mean:.1f}{deviation} ({len(folders)})"


def main() -> None:
    """Train what is missing, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/transfer_tables"))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2], help="none: print what is there")
    parser.add_argument("--rows", nargs="*", default=list(RECOGNITION), choices=list(RECOGNITION), metavar="ROW")
    parser.add_argument("--labels", type=int, nargs="*", default=list(LABELS), choices=list(LABELS))
    parser.add_argument("--detection", nargs="*", default=list(DETECTION), choices=list(DETECTION), metavar="ROW")
    parser.add_argument("--fractions", type=float, nargs="*", default=list(FRACTIONS), choices=list(FRACTIONS))
    arguments = parser.parse_args()
    out: Path = arguments.out.resolve()
    for seed in arguments.seeds:
        for labels in arguments.labels:
            for name in arguments.rows:
                recognise(out, name, labels, seed)
        for fraction in arguments.fractions:
            for name in arguments.detection:
                detect(out, name, fraction, seed)
    print("\n".join(table(out, {name: name for name in RECOGNITION}, LABELS, "val/top1")), end="\n\n")
    print("\n".join(table(out, {name: f"detection, {name}" for name in DETECTION}, FRACTIONS, "val/map_0.5")))


if __name__ == "__main__":
    main()
