"""What a benchmark measured: printed, and kept in ``benchmarks/results/NAME.json``, of which the pages are made."""

import json
import math
import numbers
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"
LIBRARIES = (
    *("numpy", "av", "cv2", "torchvision", "pytorch_lightning", "torchmetrics", "torchcodec"),
    *("scipy", "sklearn", "faiss", "matplotlib", "onnxruntime"),
)
LOAD_AT_START = os.getloadavg()[0]  # a benchmark imports this file before it works


def record(
    name: str, tables: dict[str, list[dict[str, object]]], seed: int | None = None, folder: Path = RESULTS
) -> Path:
    """Print machine, versions, seed and tables of a benchmark, and write them to a JSON file.

    Args:
        name: of the file, without its ending.
        tables: rows by the table's name; a row holds numbers and strings by column, None for a cell without a value.
        seed: None where nothing is drawn.
        folder: where the file goes.

    Returns:
        The file.

    Raises:
        TypeError: a value is neither a number nor a string.
    """
    rows = {
        title: [{column: plain(value) for column, value in row.items()} for row in table]
        for title, table in tables.items()
    }
    kept = {"command": command(), "machine": machine(), "versions": versions(), "seed": seed, "tables": rows}
    print(f"\n{circumstances(kept)}\n{', '.join(f'{library} {of}' for library, of in kept['versions'].items())}")
    for title, table in rows.items():
        print(f"\n{title}\n\n{markdown(table)}")
    path = folder / f"{name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    return path


def command() -> str:
    """The command line of this process, with files named without their folders."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    program = f"-m {spec.name}" if spec else Path(sys.argv[0]).name
    parts = (word.rpartition("=") for word in sys.argv[1:])
    words = [f"{option}{equals}{without_folder(value)}" for option, equals, value in parts]
    return f"python {program} {shlex.join(words)}".rstrip()


def without_folder(word: str) -> str:
    """A path without its folders; another word as it is."""
    return Path(word).name if os.path.isabs(word) or Path(word).exists() else word


def machine() -> dict[str, object]:
    """Model name of the processor, cores, GiB of memory, threads of torch, GPU or None, and load average at start."""
    model, information = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    gpu = None
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        gpu = torch.cuda.get_device_name() if count == 1 else f"{count} x {torch.cuda.get_device_name()}"
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "load_average": round(LOAD_AT_START, 2),
    }


def versions() -> dict[str, str | None]:
    """Versions of Python, torch, its CUDA (None without) and the libraries that this process has loaded."""
    known = {"python": platform.python_version(), "torch": str(torch.__version__), "cuda": torch.version.cuda}
    loaded = {library: sys.modules[library] for library in LIBRARIES if library in sys.modules}
    return known | {library: str(module.__version__) for library, module in loaded.items()}


def plain(value: object) -> object:
    """A value as JSON holds it: six digits of a number are kept, and one that is not finite is a word."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(f"{float(value):.6g}") if math.isfinite(value) else "not finite"
    raise TypeError(f"a table holds numbers and strings, not {value!r}")


def circumstances(kept: Mapping) -> str:
    """One line: the command, where it ran, and its seed."""
    machine, versions = kept["machine"], kept["versions"]
    parts = [f"`{kept['command']}`"]
    if machine.get("gpu"):
        parts.append(machine["gpu"])
    if machine.get("cpu"):
        threads = f"{machine['threads']} thread{'s' * (machine['threads'] != 1)}"
        parts.append(f"{machine['cores']} cores of {machine['cpu']}, {threads}")
    if machine.get("load_average") is not None:
        parts.append(f"load average {machine['load_average']:.1f} at the start")
    parts.append(f"torch {versions['torch']}")
    if kept["seed"] is not None:
        parts.append(f"seed {kept['seed']}")
    if "note" in kept:
        parts.append(kept["note"])
    return "; ".join(parts)


def markdown(rows: Sequence[Mapping[str, object]]) -> str:
    """A table of rows by column; the columns are those of all rows, in order of appearance."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [columns, ["---"] * len(columns), *([shown(row.get(column)) for column in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shown(value: object) -> str:
    """A cell: three digits of a number, all of those before the point; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:.3g}"
    return str(value).replace("|", "\\|")
