"""From a checkpoint or weights alone to the method that they hold, and what its inputs are like."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentError, ArgumentParser
from pytorch_lightning import LightningModule
from torch import nn

from configs.errors import explain
from configs.prediction.exported import build_method
from lightning_modules.rc3d import RC3D
from lightning_modules.recognition import Recognition
from lightning_modules.weights.catalogue import CATALOGUE, locate
from lightning_modules.weights.files import CLASS_NAMES_KEY, read_torch_file, read_weights_file
from lightning_modules.weights.header import HEADER_KEY, read_header, read_preprocessing
from lightning_modules.weights.preprocessing import Preprocessing
from lightning_modules.weights.skeleton_input import SkeletonInput

RECIPE_KEY = "zoo_config"
"""Where a checkpoint keeps the config of its run, YAML text."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        path: of the file.
        method: in evaluation mode, on its device.
        device: of the method.
        class_names: of all classes in their order; empty where the method knows no classes.
        named: whether these are the data set's names, not numbers.
        preprocessing: how the data module prepared clips; None where that is not known.
        data: arguments of the data module; empty of weights alone.
        origin: what they were trained on, where the catalogue knows it.
    """

    path: Path
    method: LightningModule
    device: torch.device
    class_names: list[str]
    named: bool
    preprocessing: Preprocessing | SkeletonInput | None
    data: dict[str, Any]
    origin: str | None = None

    @property
    def name(self) -> str:
        """Of the method."""
        return type(self.method).__name__


def open_checkpoint(source: Path, names_file: Path | None = None) -> Checkpoint:
    """Build the method of a checkpoint, and fill it.

    A run's config is the one inside the checkpoint, or else ``config.yaml`` in the folder of the run; weights that the
    run started from are not needed. Other weights have their header, see ``build_method``.

    Args:
        source: a checkpoint, exported or published weights, a folder of ``save_pretrained``, or a catalogue name.
        names_file: names of the classes, one a line, instead of those that the checkpoint knows.

    Raises:
        ValueError: the checkpoint cannot tell what it is, is damaged, or does not fit the installed code.
    """
    path = locate(source)
    content = read_torch_file(path)
    recipe = None if content is None else _recipe(content, path)
    names: list[str]
    method: LightningModule
    data: dict[str, Any] = {}
    preprocessing: Preprocessing | SkeletonInput | None
    if content is None or recipe is None:
        file = read_weights_file(path)
        method, preprocessing = build_method(file)
        names = list(file.class_names)
    else:
        method, preprocessing = _fill(content, recipe, path)
        data = (recipe.get("data") or {}).get("init_args") or {}
        names = list(content.get(CLASS_NAMES_KEY) or ())
    if names_file is not None:
        names = _read_names(names_file)
    count = _num_classes(method)
    if names_file is not None and len(names) != count:
        raise ValueError(f"{names_file}: names {len(names)} classes, {path} has {count}; one name a line")
    named = len(names) == count
    shown = names if named else [f"class {number + 1}" for number in range(count)]
    entry = None if source.expanduser().exists() else CATALOGUE.get(str(source))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    origin = None if entry is None else entry.data
    return Checkpoint(path, method.to(device).eval(), device, shown, named, preprocessing, data, origin)


def _fill(
    content: dict[str, Any], recipe: dict[str, Any], path: Path
) -> tuple[LightningModule, Preprocessing | SkeletonInput | None]:
    """The method of a run, and how its clips were prepared."""
    model = recipe["model"]
    values = model.get("init_args") or {}
    if values.get("weights") is not None:
        values["weights"] = None
    method = _build(model, path)
    try:
        if isinstance(method, Recognition):
            method.on_load_checkpoint(content)
        method.load_state_dict(content["state_dict"])
    except (RuntimeError, ValueError) as error:
        line = " ".join(str(error).split())[:300]
        raise ValueError(
            f"{path}: its weights do not fit the {type(method).__name__} of its config ({line}); it was written by "
            "another version, or config.yaml is of another run"
        ) from error
    header = content.get(HEADER_KEY)
    facts = read_header(header, str(path))["preprocessing"] if header is not None else {}
    return method, read_preprocessing(facts, str(path)) if facts else None


def _recipe(content: dict[str, Any], path: Path) -> dict[str, Any] | None:
    """The config of the run, as plain values; None of weights that are no checkpoint of a run."""
    if not isinstance(content.get("state_dict"), dict):
        return None
    text = content.get(RECIPE_KEY)
    source: Path = path
    if text is None:
        beside = [folder / "config.yaml" for folder in (path.parent.parent, path.parent)]
        found = next((file for file in beside if file.is_file()), None)
        if found is None:
            return None
        source, text = found, found.read_text(encoding="utf-8")
    try:
        recipe = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{source}: its config is no YAML ({' '.join(str(error).split())})") from error
    model = recipe.get("model") if isinstance(recipe, dict) else None
    if not isinstance(model, dict) or not isinstance(model.get("class_path"), str):
        raise ValueError(f"{source}: its config names no model; put the run's config.yaml beside checkpoints/")
    assert isinstance(recipe, dict)
    return recipe


def _build(model: dict[str, Any], path: Path) -> LightningModule:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LightningModule, "model", required=True)
    try:
        built = parser.instantiate_classes(parser.parse_object({"model": model})).model
    except (ArgumentError, TypeError, ValueError) as error:
        line = (explain(error) if isinstance(error, ValueError) else None) or " ".join(str(error).split())[:300]
        raise ValueError(f"{path}: the {model['class_path']} of its config cannot be built: {line}") from error
    assert isinstance(built, LightningModule)
    return built


def _read_names(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: cannot be read ({error}); give a text file with a name a line") from error


def _num_classes(method: nn.Module) -> int:
    return (method.num_classes or 0) if isinstance(method, Recognition | RC3D) else 0
