"""Trains the small weights that ship with the package, on the embedded data, and writes them and what they are.

Each is a shipped config with its seed, so that the same machine gives the same weights; with other numbers of threads
sums round differently. About 25 minutes on two CPU cores. Runs that are finished are not trained again.

    OMP_NUM_THREADS=1 python benchmarks/embedded_weights.py --runs runs/embedded
    python benchmarks/embedded_weights.py --runs runs/embedded --export_only   # runs that are there
"""

import argparse
import csv
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from cli import main as lightning
from lightning_modules.networks import AGCN, Network
from lightning_modules.weights.catalogue.embedded import FOLDER, LIST
from lightning_modules.weights.export import classifier_of, write
from lightning_modules.weights.files import read_weights_file
from lightning_modules.weights.header import build_network, describe
from lightning_modules.weights.importers import load_weights


@dataclass(frozen=True)
class Recipe:
    """How a file comes about.

    Attributes:
        name: Of the file, and in the catalogue.
        run: Folder of the run, below ``--runs``.
        config: Shipped config.
        metric: That the run logs of held-out data, a share.
        after: Option of the config, and what it starts from: a file of these, or the last checkpoint of a run.
        classifier: Whether the file keeps the run's classifier and the names of its classes.
        network: Where the checkpoint holds several, the one that is not in its header.
    """

    name: str
    run: str
    config: str
    metric: str
    after: tuple[str, str] | None = None
    classifier: bool = False
    network: Network | None = None


# In the order of training: some start from others.
RECIPES = (
    Recipe("embedded_tubelet", "tubelet", "tubelet.yaml", "probe/knn_top1"),
    Recipe(
        "embedded_severe",
        "severe",
        "severe_embedded/ucf101.yaml",
        "val/top1",
        after=("--model.weights", "embedded_tubelet"),
        classifier=True,
    ),
    Recipe("embedded_skeleton", "skeleton", "skeleton.yaml", "probe/knn_top1"),
    Recipe(
        "embedded_skeleton_graph",
        "skeleton",
        "skeleton.yaml",
        "probe/knn_top1",
        network=AGCN(width=8, blocks=(1, 1, 1)),
    ),
    Recipe(
        "embedded_skeleton_linear",
        "skeleton_linear",
        "skeleton_linear.yaml",
        "val/top1",
        after=("--model.weights", "embedded_skeleton"),
        classifier=True,
    ),
    Recipe("embedded_transfer_teacher", "transfer_teacher", "transfer_teacher.yaml", "val/top1"),
    Recipe(
        "embedded_transfer",
        "transfer",
        "transfer.yaml",
        "val/cosine",
        after=("--model.teacher_weights", "transfer_teacher"),
    ),
)


def checkpoint(runs: Path, run: str) -> Path:
    """The last checkpoint of a run."""
    return runs / run / "checkpoints" / "last.ckpt"


def train(recipe: Recipe, runs: Path, out: Path) -> None:
    """Train, or go on; a finished run ends at once.

    Raises:
        SystemExit: The training failed, and has said why.
    """
    arguments = ["fit", "--config", recipe.config, "--run_dir", str(runs / recipe.run), "--data.num_workers", "0"]
    if recipe.after is not None:
        option, name = recipe.after
        exported = name in {other.name for other in RECIPES}
        arguments += [option, str(out / f"{name}.safetensors" if exported else checkpoint(runs, name))]
    code = lightning(arguments)
    if code:
        raise SystemExit(code)


def last_value(runs: Path, recipe: Recipe) -> float:
    """The last value that a run logged.

    Raises:
        SystemExit: It has not logged it.
    """
    table = runs / recipe.run / "logs" / "metrics.csv"
    with table.open(newline="") as file:
        values = [row[recipe.metric] for row in csv.DictReader(file) if row.get(recipe.metric)]
    if not values:
        raise SystemExit(f"{table} has no {recipe.metric}: has the run ended?")
    return float(values[-1])


def export(recipe: Recipe, runs: Path, out: Path) -> dict[str, object]:
    """Write the weights of a run, in 16 bits but for the norms; returns what the list says of them.

    Raises:
        SystemExit: The checkpoint was not written by this project.
        WeightsError: It is missing or damaged.
    """
    source = checkpoint(runs, recipe.run)
    file = read_weights_file(source)
    header = file.header
    if header is None:
        raise SystemExit(f"{source} has no header")
    network = build_network(header, str(source)) if recipe.network is None else recipe.network
    load_weights(network, source)
    # Said anew: an older version may have known fewer arguments.
    header = describe(network, header["method"], header["data"], header["preprocessing"])
    path = out / f"{recipe.name}.safetensors"
    classifier = classifier_of(file, network) if recipe.classifier else None
    exported = write(network.eval(), classifier, file.class_names, header, path, "safetensors", half=True)
    print(f"{path}, {path.stat().st_size / 1000:.0f} kB; {exported}")
    return {
        "config": recipe.config,
        "after": None if recipe.after is None else recipe.after[1],
        "seed": 0,
        "method": header["method"],
        "data": header["data"],
        "architecture": header["architecture"],
        "arguments": header["arguments"],
        "metric": f"{recipe.metric} of the run, %",
        "value": round(100 * last_value(runs, recipe), 1),
        "rounding": float(f"{exported.difference / exported.scale:.1e}"),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def main() -> None:
    """Train and export, or export alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/embedded"), help="folder of the runs")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write to; the package's own by default")
    parser.add_argument("--export_only", action="store_true", help="train nothing")
    options = parser.parse_args()
    found = {}
    for recipe in RECIPES:
        if not options.export_only:
            train(recipe, options.runs, options.out)
        found[recipe.name] = export(recipe, options.runs, options.out)
    (options.out / LIST.name).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
