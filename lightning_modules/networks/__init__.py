"""Networks: tensor in, tensor out."""

from lightning_modules.networks.heads import ProjectionHead
from lightning_modules.networks.i3d import I3D
from lightning_modules.networks.r2plus1d import R2Plus1D
from lightning_modules.networks.r3d import R3D
from lightning_modules.networks.video_network import VideoNetwork

__all__ = ["I3D", "R3D", "ProjectionHead", "R2Plus1D", "VideoNetwork"]
