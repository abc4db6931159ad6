"""This project's own files."""

from lightning_modules.weights.importers.importer import Importer

# A checkpoint of momentum contrast. The query's network is the one that is evaluated; heads, key network, queue and
# whatever else a method keeps are for resuming it.
CHECKPOINT = Importer(
    name="checkpoint", marks=("query_encoder.network.",), backbone="query_encoder.network.", drops_rest=True
)

# A checkpoint of skeleton contrast, which holds a network for each representation.
REPRESENTATIONS = Importer(
    name="checkpoint",
    marks=("query_encoders.0.network.",),
    backbone="query_encoders.0.network.",
    others=tuple(f"query_encoders.{number}.network." for number in range(1, 4)),
    drops_rest=True,
)

# A checkpoint of recognition: one or several networks under a classifier.
RECOGNITION = Importer(
    name="checkpoint",
    marks=("networks.0.", "classifier."),
    backbone="networks.0.",
    others=tuple(f"networks.{number}." for number in range(1, 4)),
    drops_rest=True,
)

# A checkpoint of feature-supervised transfer. What projects the student's features on the teacher's is left out.
TRANSFER = Importer(name="checkpoint", marks=("student.",), backbone="student.", drops_rest=True)

# A checkpoint of a temporal detector, whose backbone is its network.
DETECTOR = Importer(name="checkpoint", marks=("proposal_network.conv1.weight",), backbone="network.", drops_rest=True)

# A checkpoint of repetition counting.
COUNTER = Importer(name="checkpoint", marks=("head.behind.weight",), backbone="network.", drops_rest=True)

# A checkpoint of a detector of tubes, which keeps the sizes of its anchors.
TUBES = Importer(name="checkpoint", marks=("anchors", "head.weight"), backbone="network.", drops_rest=True)

# The network alone, or with a classifier.
SAFETENSORS = Importer(name="safetensors", dropped=("classifier.",), needs_header=True)
