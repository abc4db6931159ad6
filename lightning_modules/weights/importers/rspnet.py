"""RSPNet (Chen et al. 2021, arXiv:2011.07949), PeihaoChen/RSPNet, over torchvision's networks.

The benchmark pretrained its R(2+1)D-18 anew with that code: the R(2+1)D that the authors published is another network.
"""

from lightning_modules.weights.importers.importer import Importer
from lightning_modules.weights.importers.severe import RESIDUAL, stage_name

# moco/builder_diffspeed_diffloss.py and split_wrapper.py (01a37c0): two heads on the query's encoder, and MoCo's rest.
# Further heads are those that the benchmark's loader knows of.
RSPNET = Importer(
    name="rspnet",
    marks=("encoder_q.encoder.base_network.",),
    backbone="encoder_q.encoder.base_network.",
    dropped=(
        *(f"encoder_q.{head}." for head in ("fc", "fc1", "fc2", "linear", "head", "new_fc", "fc8", "encoder_fuse")),
        "encoder_q.encoder.linear.",
        "encoder_k.",
        "queue",
        "queue_ptr",
    ),
    rename=stage_name,
    networks={"R2Plus1D": RESIDUAL, "R3D": RESIDUAL},
)
