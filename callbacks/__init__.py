"""What a Trainer does around any method."""

from callbacks.class_accuracy_writer import ClassAccuracyWriter
from callbacks.data_wait import DataWait
from callbacks.detection_timeline import DetectionTimeline
from callbacks.detection_writer import DetectionWriter
from callbacks.feature_map import FeatureMap
from callbacks.half_precision import HalfPrecisionCheck
from callbacks.knn_probe import KNNProbe
from callbacks.prediction_writer import PredictionWriter
from callbacks.progress import ProgressBar
from callbacks.retrieval_sheet import RetrievalSheet
from callbacks.run_record import RunRecord
from callbacks.skeleton_pictures import SkeletonPictures
from callbacks.tubelet_pictures import TubeletPictures

__all__ = [
    "ClassAccuracyWriter",
    "DataWait",
    "DetectionTimeline",
    "DetectionWriter",
    "FeatureMap",
    "HalfPrecisionCheck",
    "KNNProbe",
    "PredictionWriter",
    "ProgressBar",
    "RetrievalSheet",
    "RunRecord",
    "SkeletonPictures",
    "TubeletPictures",
]
