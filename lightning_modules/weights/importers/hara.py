"""Files of kenshohara/3D-ResNets-PyTorch, of 2017 and of 2020, and of craston/MARS, which has its ResNeXt.

All hold ``state_dict`` with our names behind ``module.``, and a classifier ``fc``.
"""

from lightning_modules.weights.importers.importer import Importer, PublishedNetwork
from lightning_modules.weights.preprocessing import Preprocessing

# opts.py and mean.py of 2017, and dataset/preprocess_data.py of MARS (1827a77): ActivityNet's mean taken from values
# in 0..255, and no deviation. The short side is scaled to the crop's.
SUBTRACTED_MEAN = Preprocessing(
    num_frames=16,
    crop_size=112,
    short_side=112,
    mean=(114.7748 / 255, 107.7354 / 255, 99.4750 / 255),
    std=(1 / 255, 1 / 255, 1 / 255),
    stride=1,
)

# utils1/extract_frames_flows.py and dataset/preprocess_data.py of MARS (1827a77): TV-L1 between frames at 25 a second
# with a short side of 256, cut at 20 pixels and stored in 8 bits, of which 127.5 is subtracted.
FLOW = Preprocessing(
    num_frames=16,
    crop_size=112,
    short_side=112,
    mean=(0.5, 0.5),
    std=(1 / 255, 1 / 255),
    stride=1,
    fps=25,
    flow_bound=20,
    flow_short_side=256,
)

# opts.py and mean.py of 2020 (1bb40d6): Kinetics' mean and deviation of values in 0..1.
_KINETICS = Preprocessing(
    num_frames=16,
    crop_size=112,
    short_side=112,
    mean=(0.4345, 0.4051, 0.3775),
    std=(0.2768, 0.2713, 0.2737),
    stride=1,
)

# resnext-101-kinetics.pth, RGB_Kinetics_16f.pth; and Flow_Kinetics_16f.pth.
HARA_RESNEXT = Importer(
    name="hara",
    marks=("conv1.weight", "layer1.0.conv3."),
    dropped=("fc.",),
    networks={"ResNeXt3D": PublishedNetwork({"shortcut": "B", "batch_norm_eps": 1e-5}, SUBTRACTED_MEAN)},
    flow_networks={
        "ResNeXt3D": PublishedNetwork({"shortcut": "B", "batch_norm_eps": 1e-5, "in_channels": 2}, FLOW),
    },
)

# r3d18_K_200ep.pth, r3d34_K_200ep.pth.
HARA_2020 = Importer(
    name="hara",
    marks=("conv1.weight", "layer1.0.bn1.", "layer2.0.downsample."),
    dropped=("fc.",),
    networks={"ResNet3D": PublishedNetwork({"shortcut": "B", "batch_norm_eps": 1e-5}, _KINETICS)},
)

# resnet-18-kinetics.pth, resnet-34-kinetics.pth.
HARA_2017 = Importer(
    name="hara",
    marks=("conv1.weight", "layer1.0.bn1."),
    dropped=("fc.",),
    networks={"ResNet3D": PublishedNetwork({"shortcut": "A", "batch_norm_eps": 1e-5}, SUBTRACTED_MEAN)},
)
