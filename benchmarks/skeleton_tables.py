"""Tables 3.5 and 3.6 in small: linear and 1-NN accuracy of skeleton.yaml's networks, intra and inter, by augmentation.

    python benchmarks/skeleton_tables.py --out runs/skeleton_tables

Each row is a run of ``lightning fit --config skeleton.yaml`` with other representations or augmentations, in a folder
of its own, for each seed; a run that is there is not repeated, and a stopped one goes on. Then each of its networks is
evaluated as ``LinearProbe`` and ``Retrieval`` do (thesis A.1), beside the same network untrained, and the tables are
printed in Markdown. ``accuracies.csv`` in the folder keeps what was evaluated.
"""

import argparse
import csv
import subprocess
import sys
import warnings
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

import torch
import yaml
from pytorch_lightning import Trainer, seed_everything

from datamodules import SyntheticNTUDataModule
from lightning_modules import LinearProbe, Retrieval
from lightning_modules.networks import AGCN, HCN, BiGRU, SkeletonNetwork
from lightning_modules.views.skeleton import SequenceCrop
from lightning_modules.weights.importers import load_weights

NUM_FRAMES = 16
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "image": ("HCN", {"channels": 16, "window": 16, "num_frames": NUM_FRAMES, "dropout": 0.1}),
    "graph": ("AGCN", {"width": 8, "blocks": [1, 1, 1]}),
    "sequence": ("BiGRU", {"hidden_dim": 64, "num_layers": 1}),
}
CONTRASTS = [
    ("image",),
    ("graph",),
    ("sequence",),
    ("image", "graph"),
    ("image", "sequence"),
    ("sequence", "graph"),
    ("image", "sequence", "graph"),
]
AUGMENTATIONS: dict[str, tuple[bool, list[str]]] = {
    "none": (False, []),
    "crop": (True, []),
    "pose": (False, ["pose"]),
    "jitter": (False, ["jitter"]),
    "crop_pose": (True, ["pose"]),
    "crop_jitter": (True, ["jitter"]),
}
UNTRAINED = "untrained"

Key = tuple[str, int, str]  # run, seed, network
Accuracies = dict[Key, tuple[float, float]]  # linear and 1-NN, in %


def build(name: str) -> SkeletonNetwork:
    """Make a network of ``NETWORKS``."""
    class_name, arguments = NETWORKS[name]
    network: SkeletonNetwork = {"HCN": HCN, "AGCN": AGCN, "BiGRU": BiGRU}[class_name](**arguments)
    return network


def runs() -> dict[str, tuple[tuple[str, ...], str | None]]:
    """Name of each run, its networks, and its augmentation where that is not the full one."""
    found: dict[str, tuple[tuple[str, ...], str | None]] = {"-".join(names): (names, None) for names in CONTRASTS}
    for name in NETWORKS:
        found |= {f"{name}.{augmentation}": ((name,), augmentation) for augmentation in AUGMENTATIONS}
    return found


def write_config(path: Path, names: tuple[str, ...], augmentation: str | None) -> None:
    """Write a config on top of skeleton.yaml."""
    values: dict[str, object] = {
        "representations": [
            {"class_path": f"lightning_modules.networks.{class_name}", "init_args": arguments}
            for class_name, arguments in map(NETWORKS.__getitem__, names)
        ]
    }
    if augmentation is not None:
        temporal, spatial = AUGMENTATIONS[augmentation]
        values["augmentation"] = {"init_args": {"temporal": temporal, "spatial": spatial}}
    text = yaml.safe_dump({"base": "skeleton.yaml", "model": {"init_args": values}}, sort_keys=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def train(out: Path, name: str, seed: int, steps: int) -> Path | None:
    """Run, or go on with, one pretraining; return its last checkpoint, None if it was stopped."""
    names, augmentation = runs()[name]
    config, folder = out / f"{name}.yaml", out / name / f"seed_{seed}"
    checkpoint = folder / "checkpoints" / "last.ckpt"
    if step_of(checkpoint) < steps:
        write_config(config, names, augmentation)
        command = [sys.executable, "-c", "import sys, cli; sys.exit(cli.main())", "fit", "--config", str(config)]
        command += ["--seed_everything", str(seed), "--run_dir", str(folder), "--data.num_workers", "0"]
        subprocess.run([*command, "--trainer.enable_progress_bar", "false"], check=True, stdout=subprocess.DEVNULL)
    return checkpoint if step_of(checkpoint) >= steps else None


def step_of(checkpoint: Path) -> int:
    """Optimizer steps of a checkpoint; 0 where there is none."""
    if not checkpoint.is_file():
        return 0
    return int(torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["global_step"])


def evaluate(network: SkeletonNetwork, seed: int, out: Path) -> tuple[float, float]:
    """Linear and 1-NN top-1 of a network, in %."""
    crop, data = SequenceCrop(num_frames=NUM_FRAMES), SyntheticNTUDataModule(num_workers=0, seed=seed)
    quiet: dict[str, Any] = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "default_root_dir": out,
    }
    quiet |= {"enable_model_summary": False, "accelerator": "cpu", "devices": 1}
    trainer = Trainer(**quiet, use_distributed_sampler=False)
    trainer.test(Retrieval([network], crop=crop), datamodule=data, verbose=False)
    nearest = float(trainer.callback_metrics["test/top1"])
    trainer = Trainer(
        **quiet, use_distributed_sampler=False, max_epochs=80, check_val_every_n_epoch=80, num_sanity_val_steps=0
    )
    trainer.fit(LinearProbe([network], crop=crop, crops=2, seed=seed), datamodule=data)
    return 100 * float(trainer.callback_metrics["val/top1"]), 100 * nearest


def read(path: Path) -> Accuracies:
    """What was evaluated before."""
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        return {
            (row["run"], int(row["seed"]), row["network"]): (float(row["linear"]), float(row["nearest"]))
            for row in csv.DictReader(file)
        }


def write(path: Path, accuracies: Accuracies) -> None:
    """Keep what was evaluated."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("run", "seed", "network", "linear", "nearest"))
        for key, values in sorted(accuracies.items()):
            table.writerow((*key, *(f"{value:.2f}" for value in values)))


def cell(accuracies: Accuracies, run: str, network: str) -> str:
    """Mean over the seeds of linear and 1-NN accuracy, with how many seeds where they are not three."""
    found = [values for (name, _, of), values in accuracies.items() if (name, of) == (run, network)]
    if not found:
        return ""
    linear, nearest = (mean(values) for values in zip(*found, strict=True))
    return f"{linear:.1f} / {nearest:.1f}" + (f" ({len(found)})" if len(found) != 3 else "")


def tables(accuracies: Accuracies) -> str:
    """Both tables: linear / 1-NN top-1 in %, mean over the seeds."""
    lines = [f"| contrast | {' | '.join(NETWORKS)} |", "|---|" + "---|" * len(NETWORKS)]
    for run in [UNTRAINED, *("-".join(names) for names in CONTRASTS)]:
        lines.append(f"| {run} | " + " | ".join(cell(accuracies, run, network) for network in NETWORKS) + " |")
    lines += ["", f"| augmentation | {' | '.join(NETWORKS)} |", "|---|" + "---|" * len(NETWORKS)]
    for augmentation in [*AUGMENTATIONS, "all"]:
        names = [network if augmentation == "all" else f"{network}.{augmentation}" for network in NETWORKS]
        cells = (cell(accuracies, run, network) for run, network in zip(names, NETWORKS, strict=True))
        lines.append(f"| {augmentation.replace('_', ', ')} | " + " | ".join(cells) + " |")
    per_seed = defaultdict(list)
    for (run, seed, network), values in sorted(accuracies.items()):
        per_seed[run, network].append(f"{seed}: {values[0]:.1f} / {values[1]:.1f}")
    lines += ["", *(f"{run}, {network}: {', '.join(values)}" for (run, network), values in per_seed.items())]
    return "\n".join(lines)


def main() -> None:
    """Train, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/skeleton_tables"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", nargs="+", default=list(runs()), choices=list(runs()), metavar="RUN")
    parser.add_argument("--trained_only", action="store_true", help="evaluate what is there, and train nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    steps = 13 * 120  # of skeleton.yaml: 840 sequences in batches of 64, 120 epochs
    accuracies = read(out / "accuracies.csv")

    def note(run: str, seed: int, name: str, network: SkeletonNetwork) -> None:
        accuracies[run, seed, name] = evaluate(network, seed, out)
        write(out / "accuracies.csv", accuracies)
        print(run, seed, name, *(f"{value:.1f}" for value in accuracies[run, seed, name]), flush=True)

    for seed in arguments.seeds:
        for name in NETWORKS:
            if (UNTRAINED, seed, name) not in accuracies:
                seed_everything(seed, verbose=False)
                note(UNTRAINED, seed, name, build(name))
        for run in arguments.runs:
            names = runs()[run][0]
            missing = [name for name in names if (run, seed, name) not in accuracies]
            if not missing:
                continue
            there = out / run / f"seed_{seed}" / "checkpoints" / "last.ckpt"
            if arguments.trained_only:
                checkpoint = there if step_of(there) >= steps else None
            else:
                checkpoint = train(out, run, seed, steps)
            if checkpoint is None:
                continue
            for name in missing:
                network = build(name)
                load_weights(network, checkpoint)
                note(run, seed, name, network)
    print(f"\nLinear / 1-NN top-1 in %, mean over seeds {arguments.seeds}\n\n{tables(accuracies)}")


if __name__ == "__main__":
    main()
