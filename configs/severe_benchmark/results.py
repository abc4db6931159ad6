"""What a job of the benchmark is, and what it came to: ``job.json`` and ``result.json`` in its folder."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from callbacks.run_folder import write_whole
from callbacks.run_summary import missing_end, read_run

JOB, RESULT = "job.json", "result.json"


@dataclass(frozen=True)
class Identity:
    """All that a job's numbers depend on, but for versions and the place of the data.

    Attributes:
        name: of the weights in tables.
        weights: the file's SHA-256; None for a network from scratch.
        family: folder of the setting's config: severe, severe_linear, ...
        setting: its name.
        seed: of everything random.
        config: SHA-256 of the config's values and of the arguments that change them.
        arguments: those arguments.
    """

    name: str
    weights: str | None
    family: str
    setting: str
    seed: int
    config: str
    arguments: tuple[str, ...]

    def keep(self, folder: Path) -> None:
        """Write ``job.json``, or compare with the one that is there.

        Raises:
            ValueError: the folder belongs to other weights, another config or another setting.
            OSError: the file cannot be written.
        """
        path = folder / JOB
        own = json.loads(json.dumps(asdict(self)))
        if not path.is_file():
            write_whole(path, json.dumps(own, indent=1).encode())
            return
        earlier = read_json(path)
        if earlier is None:
            raise ValueError(f"{path}: is not what a job writes; move {folder} away, and it is run anew")
        words = {"weights": "other weights", "config": "another config", "arguments": "other arguments"}
        for key in ("weights", "arguments", "config", "family", "setting", "seed", "name"):
            if earlier.get(key) != own[key]:
                raise ValueError(
                    f"{folder}: belongs to {words.get(key, f'another {key}')} ({key} {_short(earlier.get(key))}, not "
                    f"{_short(own[key])}); give another --name or --out, or move it away"
                )


@dataclass(frozen=True)
class Result:
    """What ``result.json`` holds.

    Attributes:
        path: of the file.
        identity: of the job.
        metrics: ``test/top1`` and others, as logged.
        samples: number of training videos, where it was restricted.
        version: of the project, its commit, the libraries, the machine and the date.
        network: the backbone; empty where unknown.
        pretraining: data that the weights were trained on; empty where unknown.
    """

    path: Path
    identity: Identity
    metrics: dict[str, float]
    samples: int | None
    version: dict[str, Any]
    network: str = ""
    pretraining: str = ""

    @property
    def class_accuracy(self) -> Path:
        """The table of each class' accuracy, where the method wrote one."""
        return self.path.with_name("class_accuracy.csv")


def config_digest(values: dict[str, Any], arguments: list[str]) -> str:
    """SHA-256 of a config's values and of the arguments behind it, in which the place of the data has no part."""
    data = values.get("data") or {}
    kept = {key: value for key, value in (data.get("init_args") or {}).items() if key != "root"}
    values = {**values, "data": {**data, "init_args": kept}}
    return hashlib.sha256(json.dumps([values, arguments], sort_keys=True, default=str).encode()).hexdigest()


def network_of(values: dict[str, Any]) -> str:
    """What a config calls its backbone, with the thesis' words where it has the thesis' size; empty where unknown.

    Args:
        values: of the config, flat.
    """
    key = "model.init_args.network."
    name = str(values.get(f"{key}class_path", "")).rpartition(".")[2]
    words = {"R2Plus1D": "R(2+1)D", "R3D": "R3D"}
    if name not in words:
        return name
    widths, blocks = (values.get(f"{key}init_args.{part}") for part in ("widths", "blocks"))
    if (widths or [64, 128, 256, 512]) == [64, 128, 256, 512] and (blocks or [2] * 4) == [2] * 4:
        return f"{words[name]}-18"
    return f"{words[name]}, widths {' '.join(map(str, widths or ()))}".strip()


def write_result(
    folder: Path, identity: Identity, weights: str | None, pretraining: str, data: dict[str, str]
) -> Result:
    """Put together what a finished run and its test logged.

    Args:
        folder: of the job.
        identity: of the job.
        weights: the file or catalogue name that was given.
        pretraining: data that they were trained on; empty where unknown.
        data: paths that were given for the data.

    Returns:
        What was written.

    Raises:
        ValueError: the test logged nothing.
        OSError: the file cannot be written.
    """
    run = read_run(folder)
    metrics = {name: value for name, value in run.metrics.items() if name.startswith("test/")}
    if not metrics:
        raise ValueError(f"{folder}: the test logged no number test/...; the method has to")
    version = json.loads((folder / "versions.json").read_text(encoding="utf-8"))[-1]
    content = {
        **asdict(identity),
        "metrics": metrics,
        "samples": run.config.get("data.init_args.samples"),
        "weights_source": weights,
        "pretraining": pretraining,
        "data": data,
        "values": {key: value for key, value in run.config.items() if key not in ("run_dir", "ckpt_path")},
        "version": version,
    }
    write_whole(folder / RESULT, json.dumps(content, indent=1).encode())
    result = read_result(folder / RESULT)
    assert result is not None
    return result


def read_result(path: Path) -> Result | None:
    """Read a result; None where there is none, or the file is damaged."""
    content = read_json(path)
    try:
        if content is None:
            return None
        identity = Identity(
            name=content["name"],
            weights=content["weights"],
            family=content["family"],
            setting=content["setting"],
            seed=content["seed"],
            config=content["config"],
            arguments=tuple(content["arguments"]),
        )
        metrics = {str(name): float(value) for name, value in content["metrics"].items()}
        pretraining = content.get("pretraining", "" if content["weights"] else "none")
        network = network_of(content.get("values") or {})
        return Result(path, identity, metrics, content["samples"], content["version"], network, str(pretraining))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def state(folder: Path) -> str:
    """Say in a few words how far a job is."""
    if read_result(folder / RESULT) is not None:
        return "finished"
    if not folder.is_dir() or not (folder / JOB).is_file():
        return "not started"
    try:
        reason = missing_end(folder)
    except ValueError:
        return "unreadable"
    return {"": "trained, not tested", "not finished": "stopped in training"}.get(reason, reason)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None where the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _short(value: object) -> str:
    text = " ".join(value) if isinstance(value, list) else str(value)
    return (text[:12] if len(text) == 64 else text) or "(none)"
