"""Pretext-Contrast (Tao et al. 2021, arXiv:2010.15464), BestJuly/Pretext-Contrastive-Learning.

The published file was trained on differences of frames; the benchmark feeds it frames.
"""

from lightning_modules.weights.importers.importer import Importer
from lightning_modules.weights.importers.severe import RESIDUAL, stage_name

# models/network.py and vcopn.py (c8487e7, c213c3b): heads of the pretext tasks and a projection.
PRETEXT_CONTRAST = Importer(
    name="pretext_contrast",
    marks=("base_network.0.0.",),
    backbone="base_network.",
    dropped=("fc.", "fc_seq.", "fc_speed.", "projector."),
    rename=stage_name,
    networks={"R2Plus1D": RESIDUAL, "R3D": RESIDUAL},
)
