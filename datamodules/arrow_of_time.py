"""Arrow of time: UCF101's videos played forwards and backwards (Ghodrati et al. 2018, arXiv:1807.06980; thesis, B.2.4).

Each video of a split comes twice, as it is and reversed, in training and in evaluation: two classes of one size. What
is on the disk is that of ``ucf101.py``. A left-right flip keeps the label.
"""

import torch
from torch import Tensor

from datamodules.listed_videos import ListedVideo
from datamodules.sample_list import SampleList
from datamodules.sampling.resumable_sampler import Draw
from datamodules.sampling.whole_video import WholeVideoSampler
from datamodules.ucf101 import UCF101DataModule
from datamodules.video_dataset import ClipSample, VideoDataset
