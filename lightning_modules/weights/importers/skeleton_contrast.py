"""The thesis author's files, fmthoker/skeleton-contrast (48347ae): MoCo over one or two skeleton networks."""

from lightning_modules.weights.importers.importer import Importer, PublishedNetwork

# moco/builder_intra.py and builder_inter.py: `encoder_q` is the query's network of the first representation and
# `encoder_r` that of the second; k and l are their keys', `fc` their heads.
SKELETON_CONTRAST = Importer(
    name="skeleton_contrast",
    marks=("encoder_q.", "encoder_k."),
    one_of=("encoder_q.encoder.gru.", "encoder_q.conv1m.", "encoder_q.data_bn."),
    backbone="encoder_q.",
    others=("encoder_r.",),
    dropped=(
        "encoder_q.fc.",
        "encoder_r.fc.",
        "encoder_k.",
        "encoder_l.",
        "queue",
        "queue_ptr",
        *(f"{name}_S{number}" for name in ("Queue", "queue_ptr") for number in (1, 2)),
    ),
    # Its GRU steps through time in both cells, whatever it is called.
    networks={
        "BiGRU": PublishedNetwork({"reading": "published"}),
        "HCN": PublishedNetwork(),
        "AGCN": PublishedNetwork(),
    },
)
