"""The networks by name, with the thesis' sizes, and their small siblings for the embedded data."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from lightning_modules.networks import AGCN, HCN, I3D, R3D, STGCN, BiGRU, Network, R2Plus1D, ResNet3D, ResNeXt3D
from lightning_modules.views.clip import IMAGENET_MEAN, IMAGENET_STD
from lightning_modules.views.multimodal import DEFAULTS
from lightning_modules.weights.importers.severe import PREPROCESSING as TWO_SECONDS
from lightning_modules.weights.preprocessing import Preprocessing
from lightning_modules.weights.skeleton_input import SkeletonInput


@dataclass(frozen=True)
class Model:
    """A network of the zoo.

    Args:
        name: What `create_network` calls it.
        build: Builds it; takes ``in_channels`` if it is a video network.
        input: What it takes where its weights do not say.
        weights: What ``pretrained=True`` means, a name in the catalogue; ``None``: there are none.
        about: Where the thesis uses it.
    """

    name: str
    build: Callable[..., Network]
    input: Preprocessing | SkeletonInput
    weights: str | None
    about: str


_CLIP = Preprocessing(num_frames=16, crop_size=112, short_side=128, mean=IMAGENET_MEAN, std=IMAGENET_STD)
_LARGE_CLIP = Preprocessing(num_frames=16, crop_size=224, short_side=256, mean=IMAGENET_MEAN, std=IMAGENET_STD)
_SMALL_CLIP = Preprocessing(num_frames=8, crop_size=32, short_side=36, mean=IMAGENET_MEAN, std=IMAGENET_STD)
_SMALL_GREY = Preprocessing(
    num_frames=16,
    crop_size=40,
    short_side=48,
    mean=(0.5, 0.5, 0.5),
    std=(0.25, 0.25, 0.25),
    depth_range=(1500.0, 4500.0),
)

_SMALL_R2PLUS1D = partial(
    R2Plus1D, widths=(16, 32, 64), blocks=(1, 1, 1), stem_width=16, spatial_strides=(2, 2, 2), motion_stem=True
)
_SMALL_RESNET3D = partial(
    ResNet3D, widths=(8, 16, 32, 64), blocks=(1, 1, 1, 1), max_pool=False, temporal_strides=(1, 2, 2, 1)
)

MODELS = (
    Model("r2plus1d_18", R2Plus1D, _CLIP, "torchvision/r2plus1d_18", "tubelet contrast and SEVERE (chapters 4, 5)"),
    Model(
        "r2plus1d_18_dilated",
        partial(R2Plus1D, dilated_last_stage=True),
        TWO_SECONDS,
        "tclr/r2plus1d_18_kinetics400",
        "TCLR's network in SEVERE (4.3)",
    ),
    Model("r3d_18", R3D, _CLIP, "torchvision/r3d_18", "tubelet contrast on another network (C.2)"),
    Model("i3d", I3D, _LARGE_CLIP, "tubelet_contrast/i3d_mini_kinetics", "tubelet contrast on another network (C.2)"),
    Model(
        "resnet3d_18",
        ResNet3D,
        DEFAULTS["rgb"],
        "hara/resnet18_kinetics700",
        "students and teachers of feature transfer, R-C3D (2.4.3)",
    ),
    Model(
        "resnet3d_34",
        partial(ResNet3D, blocks=(3, 4, 6, 3)),
        DEFAULTS["rgb"],
        None,
        "the next larger of its kind (Hara et al. 2018)",
    ),
    Model(
        "resnext3d_101",
        ResNeXt3D,
        DEFAULTS["rgb"],
        "hara/mars_resnext101_rgb_kinetics400",
        "teachers on Kinetics (2.4.3)",
    ),
    Model("skeleton_bigru", BiGRU, SkeletonInput(64), None, "sequence-based representation (3.4.2)"),
    Model("skeleton_agcn", AGCN, SkeletonInput(64), None, "graph-based representation (3.4.2)"),
    Model("skeleton_hcn", HCN, SkeletonInput(64), None, "image-based representation (3.4.2)"),
    Model("skeleton_stgcn", STGCN, SkeletonInput(64), None, "skeleton students of feature transfer (2.4.3)"),
    Model("r2plus1d_embedded", _SMALL_R2PLUS1D, _SMALL_CLIP, "embedded_tubelet", "tubelet.yaml, severe_embedded"),
    Model("resnet3d_embedded", _SMALL_RESNET3D, _SMALL_GREY, "embedded_transfer", "transfer.yaml, detection.yaml"),
    Model(
        "skeleton_bigru_embedded",
        partial(BiGRU, hidden_dim=64, num_layers=1),
        SkeletonInput(16),
        "embedded_skeleton",
        "skeleton.yaml",
    ),
    Model(
        "skeleton_agcn_embedded",
        partial(AGCN, width=8, blocks=(1, 1, 1)),
        SkeletonInput(16),
        "embedded_skeleton_graph",
        "skeleton.yaml",
    ),
    Model(
        "skeleton_hcn_embedded",
        partial(HCN, channels=16, window=16, num_frames=16),
        SkeletonInput(16),
        None,
        "skeleton_contrast in small",
    ),
    Model(
        "skeleton_stgcn_embedded",
        partial(STGCN, width=8, blocks=(1, 1, 1)),
        SkeletonInput(16),
        None,
        "transfer_skeleton.yaml",
    ),
)
