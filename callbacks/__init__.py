"""What a Trainer does around any method."""

from callbacks.knn_probe import KNNProbe
from callbacks.prediction_writer import PredictionWriter
from callbacks.progress import ProgressBar
from callbacks.run_record import RunRecord
from callbacks.tubelet_pictures import TubeletPictures

__all__ = ["KNNProbe", "PredictionWriter", "ProgressBar", "RunRecord", "TubeletPictures"]
