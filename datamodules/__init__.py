"""One file = one dataset: its facts, its Dataset, its LightningDataModule."""

from datamodules.arrow_of_time import ArrowOfTimeDataModule
from datamodules.ava import AVADataModule
from datamodules.charades import CharadesDataModule
from datamodules.diving48 import Diving48DataModule
from datamodules.epic_kitchens import EpicKitchensDataModule
from datamodules.fine_gym import FineGymDataModule
from datamodules.hmdb51 import HMDB51DataModule
from datamodules.kinetics import KineticsDataModule
from datamodules.ntu import NTUSkeletonDataModule
from datamodules.ntu_multimodal import NTUMultimodalDataModule
from datamodules.ntu_rgb import NTURGBDataModule
from datamodules.pku_mmd import PKUMMDSkeletonDataModule
from datamodules.pku_mmd_detection import PKUMMDDetectionDataModule
from datamodules.pku_mmd_windows import PKUMMDWindowDataModule
from datamodules.something_something import SomethingSomethingDataModule
from datamodules.synthetic_arrow_of_time import SyntheticArrowOfTimeDataModule
from datamodules.synthetic_ava import SyntheticAVADataModule
from datamodules.synthetic_charades import SyntheticCharadesDataModule
from datamodules.synthetic_fine_gym import SyntheticFineGymDataModule
from datamodules.synthetic_kinetics import SyntheticKineticsDataModule
from datamodules.synthetic_ntu import SyntheticNTUDataModule
from datamodules.synthetic_ntu_multimodal import SyntheticNTUMultimodalDataModule
from datamodules.synthetic_pku_mmd import SyntheticPKUMMDDataModule, SyntheticPKUMMDDetectionDataModule
from datamodules.synthetic_pku_mmd_windows import SyntheticPKUMMDWindowDataModule
from datamodules.synthetic_something_something import SyntheticSomethingSomethingDataModule
from datamodules.synthetic_ucf101 import SyntheticUCF101DataModule
from datamodules.synthetic_ucf101_24 import SyntheticUCF10124DataModule
from datamodules.synthetic_ucfrep import SyntheticUCFRepDataModule
from datamodules.ucf101 import UCF101DataModule
from datamodules.ucf101_24 import UCF10124DataModule
from datamodules.ucfrep import UCFRepDataModule
from datamodules.video_folder import VideoFolderDataModule

__all__ = [
    "AVADataModule",
    "ArrowOfTimeDataModule",
    "CharadesDataModule",
    "Diving48DataModule",
    "EpicKitchensDataModule",
    "FineGymDataModule",
    "HMDB51DataModule",
    "KineticsDataModule",
    "NTUMultimodalDataModule",
    "NTURGBDataModule",
    "NTUSkeletonDataModule",
    "PKUMMDDetectionDataModule",
    "PKUMMDSkeletonDataModule",
    "PKUMMDWindowDataModule",
    "SomethingSomethingDataModule",
    "SyntheticAVADataModule",
    "SyntheticArrowOfTimeDataModule",
    "SyntheticCharadesDataModule",
    "SyntheticFineGymDataModule",
    "SyntheticKineticsDataModule",
    "SyntheticNTUDataModule",
    "SyntheticNTUMultimodalDataModule",
    "SyntheticPKUMMDDataModule",
    "SyntheticPKUMMDDetectionDataModule",
    "SyntheticPKUMMDWindowDataModule",
    "SyntheticSomethingSomethingDataModule",
    "SyntheticUCF101DataModule",
    "SyntheticUCF10124DataModule",
    "SyntheticUCFRepDataModule",
    "UCF101DataModule",
    "UCF10124DataModule",
    "UCFRepDataModule",
    "VideoFolderDataModule",
]
