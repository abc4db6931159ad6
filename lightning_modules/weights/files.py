"""Opens weights files, tensors and plain values only, and tells what is wrong with those that do not open."""

import json
import pickle
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lightning_modules.weights.header import FORMAT, HEADER_KEY, Header, WeightsError, read_header

WRAPPERS = ("state_dict", "model")
"""Where training code keeps a state dict among other things."""

ACTIONS_KEY = "actions"
"""Where a checkpoint of recognition keeps its data set's numbers of the actions that it was trained on."""

CLASS_NAMES_KEY = "class_names"
"""Where a checkpoint of recognition or detection, and a safetensors file's metadata (as JSON), keep what its classes
are called, in their order."""

CONFIG = "config.json"
"""What ``ZooNetwork.save_pretrained`` writes beside the weights."""

SHARED = "model.safetensors"
"""The weights that it writes."""


@dataclass(frozen=True)
class WeightsFile:
    """Tensors of a file by their keys, without wrappers' prefixes, and its header if it has one.

    Args:
        path: The file.
        tensors: By key.
        header: What the file says of itself.
        actions: Classes that a checkpoint of recognition was trained on, as its data module names them.
        class_names: What the classes are called, in their order; empty where the file does not say.
    """

    path: Path
    tensors: dict[str, Tensor]
    header: Header | None
    actions: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()

    def classifier(self, feature_dim: int) -> dict[str, Tensor] | None:
        """State of the linear classifier on features of this length, ``None`` where the file holds none."""
        weight, bias = (self.tensors.get(f"classifier.{part}") for part in ("weight", "bias"))
        if weight is None or bias is None or weight.shape != (len(bias), feature_dim):
            return None
        return {"weight": weight, "bias": bias}


def read_weights_file(path: Path) -> WeightsFile:
    """Open a PyTorch or safetensors file. No code in it is run; PyTorch's zip files are mapped, not read.

    The tensors are those under ``state_dict`` or ``model`` where there is one. The prefix ``module.`` of data-parallel
    training is taken off where all keys have it, and ``_orig_mod.`` of compiled modules everywhere. A safetensors file
    of ``ZooNetwork.save_pretrained`` has its header in the ``config.json`` beside it, and ``network.`` is taken off.

    Raises:
        WeightsError: The file is missing, damaged, no weights file, needs unpickling of other objects than tensors,
            holds no tensors, or several state dicts.
    """
    content = read_torch_file(path)
    actions: tuple[str, ...] = ()
    if content is None:
        tensors, header, names = _read_safetensors(path)
    else:
        tensors = _state_dict(content, path)
        header = content.get(HEADER_KEY)
        actions = tuple(map(str, content.get(ACTIONS_KEY) or ()))
        names = tuple(map(str, content.get(CLASS_NAMES_KEY) or ()))
    others = [str(key) for key, value in tensors.items() if not isinstance(value, Tensor)]
    if others or not tensors:
        raise WeightsError(
            f"{path} holds no state dict of tensors, but {shorten(others) or 'nothing'}; is it a weights file?"
        )
    tensors = {key.replace("_orig_mod.", ""): tensor for key, tensor in tensors.items()}
    if all(key.startswith("module.") for key in tensors):
        tensors = {key.removeprefix("module."): tensor for key, tensor in tensors.items()}
    return WeightsFile(path, tensors, None if header is None else read_header(header, str(path)), actions, names)


def read_torch_file(path: Path) -> dict[str, Any] | None:
    """All that a PyTorch file holds; ``None`` where it is of safetensors.

    Raises:
        WeightsError: As of `read_weights_file`, but for what is in it.
    """
    if not path.is_file():
        raise WeightsError(f"{path} is not a file; check the path")
    if path.suffix in (".onnx", ".pt2"):
        raise WeightsError(
            f"{path} is a graph that runs without this project; give the checkpoint that it was exported from, or "
            "export that to .safetensors"
        )
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}; check its permissions") from error
    if path.suffix == ".safetensors" or start[8:9] == b"{":
        return None
    return _read_torch(path, start)


def _state_dict(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """The state dict of a file, which may lie among other things under one of `WRAPPERS`."""
    wrapped = [name for name in WRAPPERS if isinstance(content.get(name), dict)]
    if len(wrapped) > 1:
        raise WeightsError(
            f"{path} holds several state dicts ({', '.join(wrapped)}); save the one that you mean as a file of its own"
        )
    if not wrapped and "state_dict" in content:
        kind = type(content["state_dict"]).__name__
        raise WeightsError(f"{path}: its state_dict is a {kind}; save model.state_dict() there")
    state: dict[str, Any] = content[wrapped[0]] if wrapped else content
    return state


def shorten(names: list[str], most: int = 3) -> str:
    """The first few names, and that there are more."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], Any, tuple[str, ...]]:
    """Tensors, header and names of the classes."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except SafetensorError as error:
        raise WeightsError(f"{path} is damaged or cut off ({error}); fetch or export it again") from error
    config = path.with_name(CONFIG)
    if HEADER_KEY not in metadata and any(key.startswith("network.") for key in tensors) and config.is_file():
        return _shared(tensors, config)
    try:
        names = json.loads(metadata.get(CLASS_NAMES_KEY, "[]"))
        return tensors, json.loads(metadata[HEADER_KEY]) if HEADER_KEY in metadata else None, tuple(map(str, names))
    except (json.JSONDecodeError, TypeError) as error:
        raise WeightsError(f"{path}: its header is damaged ({error}); export the weights again") from error


def _shared(tensors: dict[str, Tensor], config: Path) -> tuple[dict[str, Tensor], Any, tuple[str, ...]]:
    """What a folder of ``save_pretrained`` holds, as an export holds it."""
    try:
        facts = json.loads(config.read_text(encoding="utf-8"))
        known = facts.get("provenance") or {}
        header: dict[str, Any] = {"format": FORMAT, "version": "unknown", "torch": "unknown"}
        header |= {name: str(known.get(name, "unknown")) for name in ("method", "data")}
        header |= {name: facts.get(name) for name in ("architecture", "arguments", "preprocessing")}
        names = tuple(map(str, facts.get("classes") or ()))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise WeightsError(f"{config} is damaged ({error}); save the network again") from error
    return {key.removeprefix("network."): tensor for key, tensor in tensors.items()}, header, names


class _Ignored:
    """Stands in for what training code saves beside its tensors and weights do not need; its state is not kept."""

    def __init__(self, *values: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def _plain_dict(factory: object = None) -> dict[Any, Any]:
    """Stands in for a dictionary with defaults, which PyTorch refuses to fill."""
    return {}


# A command's options and the schedule of its rate (GDT), and the scaler of mixed precision (TCLR), by its names in past
# and present PyTorch.
_HARMLESS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    dict,
    (_plain_dict, "collections.defaultdict"),
    *(
        (_Ignored, name)
        for name in ("argparse.Namespace", "torch.optim.sgd.SGD", "torch.optim.lr_scheduler.MultiStepLR")
    ),
    *(
        (_Ignored, f"torch.{module}.grad_scaler.{name}")
        for module in ("amp", "cuda.amp")
        for name in ("GradScaler", "_refresh_per_optimizer_state")
    ),
]


def _read_torch(path: Path, start: bytes) -> dict[str, Any]:
    if not start:
        raise WeightsError(f"{path} is empty; fetch it again")
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise WeightsError(f"{path} is a web page, not weights: open the link in a browser and save the file behind it")
    if start.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path} is a Git LFS pointer, not the weights: run 'git lfs pull' where it comes from")
    is_zip = start.startswith(b"PK")
    if is_zip and not zipfile.is_zipfile(path):
        raise WeightsError(f"{path} is cut off after {path.stat().st_size:,} bytes; fetch it again")
    if is_zip and not any(name.endswith("data.pkl") for name in zipfile.ZipFile(path).namelist()):
        raise WeightsError(f"{path} is an ordinary zip archive; unpack it and give the weights file inside")
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        forbidden = re.search(r"GLOBAL (\S+)", str(error))
        if forbidden is None:
            raise WeightsError(f"{path} is damaged or no PyTorch file; fetch it again") from error
        raise WeightsError(
            f"{path} holds more than tensors ({forbidden[1]}), and loading that would run code from the file. If you "
            "trust it: save torch.load(path, weights_only=False)['state_dict'], or ['model'], with torch.save, and "
            "load that file"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise WeightsError(f"{path} is damaged or no PyTorch file ({reason}); fetch it again") from error
    if not isinstance(content, dict):
        raise WeightsError(
            f"{path} holds a {type(content).__name__}, not a state dict; save model.state_dict() instead"
        )
    return content
