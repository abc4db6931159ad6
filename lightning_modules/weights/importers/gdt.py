"""GDT (Patrick et al. 2020, arXiv:2003.04298), facebookresearch/GDT, over torchvision's ``r2plus1d_18``."""

from lightning_modules.weights.importers.importer import Importer
from lightning_modules.weights.importers.severe import RESIDUAL

# model.py (11ded83): a network of sound or of text beside that of video, and a head for each.
GDT = Importer(
    name="gdt",
    marks=("video_network.base.",),
    backbone="video_network.base.",
    dropped=("audio_network.", "text_network.", "mlp_v.", "mlp_a.", "mlp_t."),
    networks={"R2Plus1D": RESIDUAL},
)
