"""Networks: tensor in, tensor out."""

from lightning_modules.networks.agcn import AGCN
from lightning_modules.networks.bigru import BiGRU
from lightning_modules.networks.hcn import HCN
from lightning_modules.networks.heads import ProjectionHead
from lightning_modules.networks.i3d import I3D
from lightning_modules.networks.network import Network
from lightning_modules.networks.r2plus1d import R2Plus1D
from lightning_modules.networks.r3d import R3D
from lightning_modules.networks.resnet3d import ResNet3D
from lightning_modules.networks.resnext3d import ResNeXt3D
from lightning_modules.networks.skeleton_network import SkeletonNetwork
from lightning_modules.networks.stgcn import STGCN
from lightning_modules.networks.video_network import VideoNetwork

__all__ = [
    "AGCN",
    "HCN",
    "I3D",
    "R3D",
    "STGCN",
    "BiGRU",
    "Network",
    "ProjectionHead",
    "R2Plus1D",
    "ResNeXt3D",
    "ResNet3D",
    "SkeletonNetwork",
    "VideoNetwork",
]
