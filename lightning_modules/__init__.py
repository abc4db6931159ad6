"""The methods, each a LightningModule, and how to take a pretrained network out of one or build one by name."""

from lightning_modules.action_detection import ActionDetection
from lightning_modules.action_recognition import ActionRecognition
from lightning_modules.feature_transfer import FeatureTransfer
from lightning_modules.fine_tuning import FineTuning
from lightning_modules.linear_probe import LinearProbe
from lightning_modules.multi_label_recognition import MultiLabelRecognition
from lightning_modules.rc3d import RC3D
from lightning_modules.repetition_counting import RepetitionCounting
from lightning_modules.retrieval import Retrieval
from lightning_modules.skeleton_contrast import SkeletonContrast
from lightning_modules.temporal_contrast import TemporalContrast
from lightning_modules.tube_detection import TubeDetection
from lightning_modules.tubelet_contrast import TubeletContrast
from lightning_modules.weights.pretrained import load_pretrained
from lightning_modules.zoo import create_network, list_networks

__all__ = [
    "RC3D",
    "ActionDetection",
    "ActionRecognition",
    "FeatureTransfer",
    "FineTuning",
    "LinearProbe",
    "MultiLabelRecognition",
    "RepetitionCounting",
    "Retrieval",
    "SkeletonContrast",
    "TemporalContrast",
    "TubeDetection",
    "TubeletContrast",
    "create_network",
    "list_networks",
    "load_pretrained",
]
