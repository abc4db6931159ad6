"""SeLaVi (Asano et al. 2020, arXiv:2006.13662), facebookresearch/selavi, over torchvision's ``r2plus1d_18``."""

from lightning_modules.weights.importers.importer import Importer
from lightning_modules.weights.importers.severe import RESIDUAL

# model.py (39b677c): a network of sound, and ten heads for each, which tell the file from GDT's.
SELAVI = Importer(
    name="selavi",
    marks=("video_network.base.", "mlp_v0."),
    backbone="video_network.base.",
    dropped=("audio_network.", *(f"mlp_{modality}{number}." for modality in "va" for number in range(10))),
    networks={"R2Plus1D": RESIDUAL},
)
