"""AVID-CMA (Morgado et al. 2021, arXiv:2004.12943), facebookresearch/AVID-CMA, over torchvision's ``r2plus1d_18``.

The benchmark pretrained that network anew with the authors' code: their own files hold an R(2+1)D with a full 3D stem
and fewer channels between the convolutions, ``video_model.conv1``, ``conv2x``, ..., which is none of ours.
"""

from lightning_modules.weights.importers.importer import Importer
from lightning_modules.weights.importers.severe import RESIDUAL

# models/av_wrapper.py (93a8dfd): a network of sound, and a projection of each.
AVID_CMA = Importer(
    name="avid_cma",
    marks=("video_model.",),
    backbone="video_model.",
    dropped=("video_model.fc.", "video_proj.", "audio_model.", "audio_proj."),
    networks={"R2Plus1D": RESIDUAL},
)
