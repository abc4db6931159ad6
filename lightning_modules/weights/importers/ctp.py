"""CtP (Wang et al. 2021, arXiv:2105.02545), microsoft/CtP: R(2+1)D-18 and R3D-18 under its own parameter names.

Its pretraining config for UCF101 keeps the spatial size in the last stage (``spatial_strides: [1, 2, 2, 1]``); the
SEVERE benchmark, and the defaults here, use the weights with torchvision's strides.
"""

import re

from lightning_modules.weights.importers.importer import Importer, PublishedNetwork
from lightning_modules.weights.preprocessing import Preprocessing

# pyvrl/models/backbones/r3d.py (eeaf2e6), and the same names in torchvision.
_NAMES = [
    (r"^stem\.(conv_s|conv)\.", "stem.0."),
    (r"^stem\.(bn_s|bn)\.", "stem.1."),
    (r"^stem\.conv_t\.", "stem.3."),
    (r"^stem\.bn_t\.", "stem.4."),
    (r"\.conv([12])\.conv_s\.", r".conv\1.0.0."),
    (r"\.conv([12])\.bn_s\.", r".conv\1.0.1."),
    (r"\.conv([12])\.conv_t\.", r".conv\1.0.3."),
    (r"\.conv([12])\.conv\.", r".conv\1.0."),
    (r"\.bn([12])\.", r".conv\1.1."),
    (r"\.downsample\.conv\.", ".downsample.0."),
    (r"\.downsample_bn\.", ".downsample.1."),
]


def torchvision_name(key: str) -> str:
    """Rename a residual backbone's key as torchvision has it; other keys stay."""
    for pattern, replacement in _NAMES:
        key, count = re.subn(pattern, replacement, key)
        if count:
            break
    return key


# ImageNet's statistics on RGB; batch norms of pyvrl/models/backbones/r3d.py add 1e-3.
RESIDUAL = PublishedNetwork(
    arguments={"batch_norm_eps": 1e-3},
    preprocessing=Preprocessing(
        num_frames=16, crop_size=112, short_side=128, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    ),
)

CTP = Importer(
    name="ctp",
    marks=("backbone.",),
    backbone="backbone.",
    dropped=("head.",),
    rename=torchvision_name,
    networks={"R2Plus1D": RESIDUAL, "R3D": RESIDUAL},
)
