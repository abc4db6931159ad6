"""The README that shared weights come with."""

from collections.abc import Mapping
from typing import Any

import yaml

from lightning_modules.weights.preprocessing import Preprocessing
from lightning_modules.weights.skeleton_input import SkeletonInput

# Licences that Hugging Face knows by these names; any other is spelt out.
_KNOWN = ("apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0", "cc0-1.0")


def model_card(
    config: Mapping[str, Any],
    prepared: Preprocessing | SkeletonInput,
    feature_dim: int,
    parameters: int,
    licence: str | None,
) -> str:
    """Markdown with Hugging Face's metadata in front.

    Args:
        config: Of the network, as in ``config.json``.
        prepared: What it takes.
        feature_dim: Length of its features.
        parameters: How many it has.
        licence: Of the weights; ``None``: not stated.
    """
    known = config["provenance"]
    metadata: dict[str, Any] = {"library_name": "video-efficient-zoo", "tags": ["video", prepared.modality]}
    if licence and licence.lower() in _KNOWN:
        metadata["license"] = licence.lower()
    elif licence:
        metadata |= {"license": "other", "license_name": licence}
    if config["num_classes"] and prepared.modality != "skeleton":
        metadata["pipeline_tag"] = "video-classification"
    title = f"{config['architecture']} of {known['method']}" if "method" in known else config["architecture"]
    arguments = ", ".join(f"{name}={value}" for name, value in config["arguments"].items())
    shape = " x ".join(map(str, prepared.shape))
    statistics = ""
    if isinstance(prepared, Preprocessing):
        statistics = f", mean {_numbers(prepared.mean)}, std {_numbers(prepared.std)}"
    lines = [
        f"---\n{yaml.safe_dump(metadata, sort_keys=False)}---",
        f"# {title}",
        f"`{config['architecture']}({arguments})`, {parameters:,} parameters, features of {feature_dim}.",
        "```python\nfrom lightning_modules.zoo.zoo_network import ZooNetwork\n\n"
        'network = ZooNetwork.from_pretrained("FOLDER")\n'
        "output = network(network.preprocessing(clip))\n```",
        f"## Input\n\n{prepared.modality}, {prepared.layout}, each {shape}{statistics}.",
    ]
    if config["num_classes"]:
        names = ", ".join(config["classes"]) or "their names are not known"
        lines.append(f"## Classes\n\n{config['num_classes']}: {names}.")
    lines.append(f"## Data\n\n{known.get('data', 'Not stated.')}")
    recipe = known.get("recipe")
    if recipe is None:
        lines.append("## Recipe\n\nNot stated.")
    else:
        lines.append(f"## Recipe\n\n```yaml\n{recipe}```" if "\n" in recipe else f"## Recipe\n\n{recipe}")
    metrics = known.get("metrics") or {}
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in metrics.items())
    lines.append(f"## Metrics\n\n| number | value |\n|---|---|\n{rows}" if rows else "## Metrics\n\nNot stated.")
    lines.append(f"## Licence\n\n{licence or 'Not stated.'}\n")
    return "\n\n".join(lines)


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4g}" for value in values)
