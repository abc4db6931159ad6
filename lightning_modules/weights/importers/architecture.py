"""Which of our networks a file's keys belong to."""

from collections.abc import Collection

# By our names, a key that no other network has; the first that is found counts.
_MARKS = {
    "conv3d_1a_7x7.conv3d.weight": "I3D",
    "stem.3.weight": "R2Plus1D",
    "stem.0.weight": "R3D",
    "encoder.gru.weight_ih_l0": "BiGRU",
    "conv1m.0.weight": "HCN",
    "l1.gcn1.PA": "AGCN",
    "layer1.0.conv3.weight": "ResNeXt3D",
    "layer1.0.bn1.weight": "ResNet3D",
    "st_gcn_networks.0.gcn.conv.weight": "STGCN",
}


def architecture_of(keys: Collection[str]) -> str | None:
    """Class name of the network that has these keys, ``None`` if it is none of ours."""
    return next((name for mark, name in _MARKS.items() if mark in keys), None)
