"""Where weights come from, for the model card of those who share them."""

import csv
from pathlib import Path
from typing import Any

import yaml

from lightning_modules.weights.catalogue import CATALOGUE, locate
from lightning_modules.weights.files import read_weights_file


def provenance_of(source: str | Path, folder: Path | None = None) -> dict[str, Any]:
    """What is known of a file: of the catalogue's from there, of a checkpoint also from the run folder around it.

    Args:
        source: A file, or a name in the catalogue.
        folder: Where files of the catalogue are kept.

    Returns:
        Plain JSON: ``weights``, ``method``, ``data``, ``licence``, ``recipe`` and ``metrics``, as far as known.

    Raises:
        WeightsError: The file is missing or damaged.
    """
    path = locate(source, folder)
    entry = None if Path(source).expanduser().exists() else CATALOGUE.get(str(source))
    if entry is not None:
        return {
            "weights": str(source),
            "method": entry.method,
            "data": entry.data,
            "licence": entry.licence,
            "recipe": entry.page,
            "metrics": dict(entry.reported),
        }
    found: dict[str, Any] = {"weights": path.name}
    header = read_weights_file(path).header
    if header is not None:
        found |= {"method": header["method"], "data": header["data"]}
    run = path.absolute().parent.parent
    config = run / "config.yaml"
    if path.parent.name == "checkpoints" and config.is_file():
        with config.open() as file:
            found["recipe"] = yaml.safe_dump(_without_places(yaml.safe_load(file)), sort_keys=False)
        found["metrics"] = _last_numbers(run / "logs" / "metrics.csv")
    return found


def _last_numbers(table: Path) -> dict[str, float]:
    """The last value of each number of held-out data in a run's log; none where there is no log."""
    last: dict[str, float] = {}
    if table.is_file():
        with table.open(newline="") as file:
            for row in csv.DictReader(file):
                last |= {
                    name: float(value)
                    for name, value in row.items()
                    if value and name.startswith(("val/", "test/", "probe/"))
                }
    return last


def _without_places(value: object) -> object:
    """The settings that were set, and of a path its last part: where it lay is nobody else's business."""
    if isinstance(value, dict):
        kept = {name: _without_places(inner) for name, inner in value.items() if name not in ("run_dir", "ckpt_path")}
        return {name: inner for name, inner in kept.items() if inner is not None}
    if isinstance(value, list):
        return [_without_places(inner) for inner in value]
    return Path(value).name if isinstance(value, str) and value.startswith(("/", "~")) else value
