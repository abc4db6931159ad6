"""The thesis author's files, fmthoker/tubelet-contrast (55e0e63): MoCo over CtP's networks or over I3D."""

from lightning_modules.weights.importers.ctp import RESIDUAL, torchvision_name
from lightning_modules.weights.importers.importer import Importer, PublishedNetwork
from lightning_modules.weights.preprocessing import Preprocessing

# configs/moco/i3d/pretraining_mini_kinetics.py; its batch norms keep PyTorch's 1e-5.
_I3D = PublishedNetwork(
    arguments={"batch_norm_eps": 1e-5},
    preprocessing=Preprocessing(
        num_frames=16, crop_size=224, short_side=256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    ),
)

# pyvrl/models/pretraining/tubeletcontrast/model.py: `backbone` and `fc` are the query's, the rest is MoCo's.
TUBELET_CONTRAST = Importer(
    name="tubelet_contrast",
    marks=("backbone.", "key_encoder."),
    backbone="backbone.",
    dropped=("key_encoder.", "fc.", "key_fc.", "queue", "queue_ptr"),
    rename=torchvision_name,
    networks={"R2Plus1D": RESIDUAL, "R3D": RESIDUAL, "I3D": _I3D},
)
