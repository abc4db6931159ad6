"""What the self-supervised networks of the SEVERE benchmark (chapter 4) have in common.

fmthoker/SEVERE-BENCHMARK (f637215) loads each of them into torchvision's ``r2plus1d_18``. Its evaluation made the
numbers of the thesis, so the preprocessing here is the benchmark's, which may differ from a method's own.
"""

from lightning_modules.weights.importers.importer import PublishedNetwork
from lightning_modules.weights.preprocessing import Preprocessing

# action_recognition/configs/benchmark/*/112x112x32.yaml and datasets/preprocessing.py: two seconds at 16 frames a
# second, a short side of 112 / 0.875, ImageNet's statistics.
PREPROCESSING = Preprocessing(
    num_frames=32, crop_size=112, short_side=128, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), fps=16
)

RESIDUAL = PublishedNetwork(arguments={"batch_norm_eps": 1e-5}, preprocessing=PREPROCESSING)


def stage_name(key: str) -> str:
    """Rename a key of torchvision's children in a sequence, ``N.*``, to ``stem.*`` or ``layerN.*``."""
    number, _, rest = key.partition(".")
    return f"stem.{rest}" if number == "0" else f"layer{number}.{rest}"
