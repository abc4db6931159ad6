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

from lightning_modules.weights.header import HEADER_KEY, Header, WeightsError, read_header

WRAPPERS = ("state_dict", "model")
"""Where training code keeps a state dict among other things."""

ACTIONS_KEY = "actions"
"""Where a checkpoint of recognition keeps its data set's numbers of the actions that it was trained on."""

CLASS_NAMES_KEY = "class_names"
"""Where a checkpoint of recognition or detection keeps what its classes are called, in their order."""


@dataclass(frozen=True)
class WeightsFile:
    """Tensors of a file by their keys, without wrappers' prefixes, and its header if it has one.

    Args:
        path: The file.
        tensors: By key.
        header: What the file says of itself.
        actions: Classes that a checkpoint of recognition was trained on, as its data module names them.
    """

    path: Path
    tensors: dict[str, Tensor]
    header: Header | None
    actions: tuple[str, ...] = ()


def read_weights_file(path: Path) -> WeightsFile:
    """Open a PyTorch or safetensors file. No code in it is run; PyTorch's zip files are mapped, not read.

    The tensors are those under ``state_dict`` or ``model`` where there is one. The prefix ``module.`` of data-parallel
    training is taken off where all keys have it, and ``_orig_mod.`` of compiled modules everywhere.

    Raises:
        WeightsError: The file is missing, damaged, no weights file, needs unpickling of other objects than tensors,
            holds no tensors, or several state dicts.
    """
    if not path.is_file():
        raise WeightsError(f"{path} is not a file; check the path")
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}; check its permissions") from error
    actions: tuple[str, ...] = ()
    if path.suffix == ".safetensors" or start[8:9] == b"{":
        tensors, header = _read_safetensors(path)
    else:
        content = _read_torch(path, start)
        tensors = _state_dict(content, path)
        header = content.get(HEADER_KEY)
        actions = tuple(map(str, content.get(ACTIONS_KEY) or ()))
    others = [str(key) for key, value in tensors.items() if not isinstance(value, Tensor)]
    if others or not tensors:
        raise WeightsError(
            f"{path} holds no state dict of tensors, but {shorten(others) or 'nothing'}; is it a weights file?"
        )
    tensors = {key.replace("_orig_mod.", ""): tensor for key, tensor in tensors.items()}
    if all(key.startswith("module.") for key in tensors):
        tensors = {key.removeprefix("module."): tensor for key, tensor in tensors.items()}
    return WeightsFile(path, tensors, None if header is None else read_header(header, str(path)), actions)


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


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except SafetensorError as error:
        raise WeightsError(f"{path} is damaged or cut off ({error}); fetch or export it again") from error
    try:
        return tensors, json.loads(metadata[HEADER_KEY]) if HEADER_KEY in metadata else None
    except json.JSONDecodeError as error:
        raise WeightsError(f"{path}: its header is damaged ({error}); export the weights again") from error


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
