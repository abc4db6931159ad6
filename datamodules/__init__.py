"""One file = one dataset: its facts, its Dataset, its LightningDataModule."""

from datamodules.epic_kitchens import EpicKitchensDataModule
from datamodules.fine_gym import FineGymDataModule
from datamodules.kinetics import KineticsDataModule
from datamodules.ntu import NTUSkeletonDataModule
from datamodules.ntu_multimodal import NTUMultimodalDataModule
from datamodules.pku_mmd import PKUMMDSkeletonDataModule
from datamodules.pku_mmd_detection import PKUMMDDetectionDataModule
from datamodules.pku_mmd_windows import PKUMMDWindowDataModule
from datamodules.something_something import SomethingSomethingDataModule
from datamodules.synthetic_kinetics import SyntheticKineticsDataModule
from datamodules.synthetic_ntu import SyntheticNTUDataModule
from datamodules.synthetic_ntu_multimodal import SyntheticNTUMultimodalDataModule
from datamodules.synthetic_pku_mmd import SyntheticPKUMMDDataModule, SyntheticPKUMMDDetectionDataModule
from datamodules.synthetic_pku_mmd_windows import SyntheticPKUMMDWindowDataModule
from datamodules.video_folder import VideoFolderDataModule

__all__ = [
    "EpicKitchensDataModule",
    "FineGymDataModule",
    "KineticsDataModule",
    "NTUMultimodalDataModule",
    "NTUSkeletonDataModule",
    "PKUMMDDetectionDataModule",
    "PKUMMDSkeletonDataModule",
    "PKUMMDWindowDataModule",
    "SomethingSomethingDataModule",
    "SyntheticKineticsDataModule",
    "SyntheticNTUDataModule",
    "SyntheticNTUMultimodalDataModule",
    "SyntheticPKUMMDDataModule",
    "SyntheticPKUMMDDetectionDataModule",
    "SyntheticPKUMMDWindowDataModule",
    "VideoFolderDataModule",
]
