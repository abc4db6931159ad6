"""MoCo and VideoMoCo (Pan et al. 2021, arXiv:2103.05905), tinapan-pt/VideoMoCo, over torchvision's networks."""

from lightning_modules.weights.importers.importer import Importer
from lightning_modules.weights.importers.severe import RESIDUAL

# moco/builder.py (0f61c33): the discriminator of VideoMoCo is MoCo itself, so that both have these keys; its
# generator is a file of its own.
MOCO = Importer(
    name="moco",
    marks=("encoder_q.stem.",),
    backbone="encoder_q.",
    dropped=("encoder_q.fc.", "encoder_k.", "queue", "queue_ptr"),
    networks={"R2Plus1D": RESIDUAL, "R3D": RESIDUAL},
)
