"""torchvision's ``r2plus1d_18`` and ``r3d_18``; our networks have their parameter names."""

from lightning_modules.weights.importers.importer import Importer, PublishedNetwork
from lightning_modules.weights.preprocessing import Preprocessing

# torchvision/models/video/resnet.py and transforms/_presets.py (VideoClassification). It scales to 128x171 whatever
# the shape of the video, which for 4:3 is a short side of 128.
_RESIDUAL = PublishedNetwork(
    arguments={"batch_norm_eps": 1e-5},
    preprocessing=Preprocessing(
        num_frames=16,
        crop_size=112,
        short_side=128,
        mean=(0.43216, 0.394666, 0.37645),
        std=(0.22803, 0.22145, 0.216989),
        stride=1,
        fps=15,
    ),
)

TORCHVISION = Importer(
    name="torchvision",
    marks=("stem.0.",),
    dropped=("fc.",),
    networks={"R2Plus1D": _RESIDUAL, "R3D": _RESIDUAL},
)
