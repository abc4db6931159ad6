"""From weights alone to a method that looks at files: the header says network and preprocessing."""

from typing import Literal

from lightning_modules import ActionRecognition, FineTuning, LinearProbe, MultiLabelRecognition
from lightning_modules.networks import VideoNetwork
from lightning_modules.recognition import Recognition
from lightning_modules.views.multimodal import ClipCrop
from lightning_modules.views.skeleton import SequenceCrop
from lightning_modules.weights.files import WeightsFile
from lightning_modules.weights.preprocessing import Preprocessing
from lightning_modules.weights.pretrained import build_pretrained
from lightning_modules.weights.skeleton_input import SkeletonInput

HEADS = ("RC3D", "TubeDetection", "RepetitionCounting")
"""Methods whose exported weights lack what makes them say anything."""


def build_method(file: WeightsFile) -> tuple[Recognition, Preprocessing | SkeletonInput]:
    """A method of recognition around the network of a file, in evaluation mode; without a classifier it has no classes.

    Args:
        file: An export of ours, a folder of ``save_pretrained``, or a published file.

    Returns:
        The method, and what its network takes.

    Raises:
        ValueError: The file does not say what network it holds or how its inputs are prepared, its weights do not fit,
            or its method is a detector, whose heads it lacks.
    """
    method = file.header["method"] if file.header is not None else ""
    if method in HEADS and "classifier.weight" not in file.tensors:
        raise ValueError(
            f"{file.path}: holds the network of {method} without the heads that say something; give the run's "
            "checkpoints/last.ckpt"
        )
    network, prepared = build_pretrained(file)
    # Of detection in key frames, the classifier is of boxes.
    state = file.classifier(network.feature_dim) if method != "ActionDetection" else None
    num_classes = None if state is None else len(state["bias"])
    built: Recognition
    if isinstance(prepared, SkeletonInput):
        built = LinearProbe([network], crop=SequenceCrop(prepared.num_frames), num_classes=num_classes)
    elif prepared.modality == "rgb":
        kind = MultiLabelRecognition if method == "MultiLabelRecognition" else ActionRecognition
        assert isinstance(network, VideoNetwork)
        mean, std = ((red, green, blue) for red, green, blue in (prepared.mean, prepared.std))
        built = kind(network, num_classes=num_classes, mean=mean, std=std)
    else:
        modality: Literal["flow", "depth"] = "depth" if prepared.modality == "depth" else "flow"
        built = FineTuning([network], crop=ClipCrop(modality, prepared), num_classes=num_classes)
    if state is not None:
        built.classifier.load_state_dict(state)
    return built, prepared
