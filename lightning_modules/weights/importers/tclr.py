"""TCLR (Dave et al. 2022, arXiv:2101.07974), DAVEISHAN/TCLR, over torchvision's networks with a dilated last stage."""

from dataclasses import replace

from lightning_modules.weights.importers.importer import Importer, PublishedNetwork
from lightning_modules.weights.importers.severe import PREPROCESSING

# linear_eval/dl_linear.py (31db66f), and action_recognition/configs/benchmark/*/*_tclr.yaml of the benchmark: values in
# 0..1 without normalisation, in OpenCV's order of colours.
_DILATED = PublishedNetwork(
    arguments={"batch_norm_eps": 1e-5, "dilated_last_stage": True},
    preprocessing=replace(PREPROCESSING, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
)

# tclr_pretraining/model.py (4f3f555): a sequence of network and head.
TCLR = Importer(
    name="tclr",
    marks=("0.stem.",),
    backbone="0.",
    dropped=("0.fc.", "1."),
    bgr=True,
    networks={"R2Plus1D": _DILATED, "R3D": _DILATED},
)
