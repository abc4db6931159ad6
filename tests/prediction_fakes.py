"""Checkpoints of small untrained methods, as runs write them."""

from pathlib import Path

import torch
import yaml

from lightning_modules import RC3D, LinearProbe, SkeletonContrast, TemporalContrast
from lightning_modules.action_recognition import ActionRecognition
from lightning_modules.networks import BiGRU, R2Plus1D, ResNet3D
from lightning_modules.views.skeleton import SequenceCrop, SkeletonAugmentation
from lightning_modules.weights.header import describe

VIDEO = {"widths": [4, 8], "blocks": [1, 1], "stem_width": 4, "spatial_strides": [2, 2], "temporal_strides": [1, 2]}
MAPS = {"widths": [4, 8], "blocks": [1, 1], "max_pool": False, "spatial_strides": [2, 2], "temporal_strides": [2, 2]}
CLIPS = {"num_frames": 4, "crop_size": 16, "short_side": 20, "fps": 8.0, "stride": 1}
STATISTICS = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def write(path: Path, method, network, model: dict, data: dict, names=(), preprocessing=None) -> Path:
    """Write what ``fit`` would: weights, config, header, and names of the classes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = type(method).__name__
    recipe = {
        "model": {"class_path": f"lightning_modules.{kind}", "init_args": {"weights": "gone.ckpt", **model}},
        "data": {"class_path": "datamodules.SomeDataModule", "init_args": data},
    }
    content = {
        "state_dict": method.state_dict(),
        "zoo_config": yaml.safe_dump(recipe),
        "zoo": describe(network, kind, "SomeDataModule", preprocessing or {}),
        "class_names": list(names),
    }
    torch.save(content, path)
    return path


def _named(name: str, **arguments) -> dict:
    return {"class_path": f"lightning_modules.networks.{name}", "init_args": arguments}


def recognition(path: Path, names=("jump", "run", "sit")) -> Path:
    """Of clips, with classes."""
    torch.manual_seed(0)
    method = ActionRecognition(R2Plus1D(**VIDEO), num_classes=len(names))
    torch.nn.init.normal_(method.classifier.weight, std=2.0)
    model = {"network": _named("R2Plus1D", **VIDEO), "num_classes": None}
    return write(path, method, method.networks[0], model, {}, names, {**CLIPS, **STATISTICS})


def temporal(path: Path) -> Path:
    """Pretraining on clips."""
    torch.manual_seed(0)
    method = TemporalContrast(R2Plus1D(**VIDEO), queue_size=8)
    model = {"network": _named("R2Plus1D", **VIDEO), "queue_size": 8}
    return write(path, method, method.network, model, {}, (), {**CLIPS, **STATISTICS})


def skeleton_contrast(path: Path) -> Path:
    """Pretraining on skeletons."""
    torch.manual_seed(0)
    method = SkeletonContrast([BiGRU(6, 1)], augmentation=SkeletonAugmentation(num_frames=16), queue_size=8)
    augmentation = {
        "class_path": "lightning_modules.views.skeleton.SkeletonAugmentation",
        "init_args": {"num_frames": 16},
    }
    model = {
        "representations": [_named("BiGRU", hidden_dim=6, num_layers=1)],
        "augmentation": augmentation,
        "queue_size": 8,
    }
    return write(path, method, method.networks[0], model, {"bodies": "listed"})


def skeleton_probe(path: Path, names=("drink", "wave")) -> Path:
    """Of skeletons, with classes."""
    torch.manual_seed(0)
    method = LinearProbe([BiGRU(6, 1)], crop=SequenceCrop(num_frames=16), num_classes=2)
    crop = {"class_path": "lightning_modules.views.skeleton.SequenceCrop", "init_args": {"num_frames": 16}}
    model = {"networks": [_named("BiGRU", hidden_dim=6, num_layers=1)], "crop": crop, "num_classes": 2}
    return write(path, method, method.networks[0], model, {"bodies": "listed"}, names)


def detection(path: Path) -> Path:
    """Of windows."""
    torch.manual_seed(0)
    arguments = {
        "num_classes": 3,
        "modality": "rgb",
        "anchor_scales": [2.0, 4.0],
        "proposal_channels": 4,
        "hidden_features": 8,
        "proposals": 20,
        "score_threshold": 0.1,
    }
    method = RC3D(ResNet3D(**MAPS), **{**arguments, "anchor_scales": (2.0, 4.0)})
    model = {"network": _named("ResNet3D", **MAPS), **arguments}
    data = {"window": 32, "step": 1, "eval_hop": 16, "size": [24, 32]}
    return write(path, method, method.network, model, data, ("a", "b", "c"))
