"""The nine methods of the SEVERE benchmark on R(2+1)D-18 (chapter 4), and their authors' files on other data.

The benchmark keeps a copy of all that it used in one archive. It pretrained RSPNet and AVID-CMA itself, for their
authors' R(2+1)D is another network. Numbers are the thesis' (tables 4.4 and B.3), or the source's for other files.
"""

from collections.abc import Mapping

from lightning_modules.weights.catalogue.entry import Entry
from lightning_modules.weights.importers.avid_cma import AVID_CMA
from lightning_modules.weights.importers.ctp import CTP
from lightning_modules.weights.importers.gdt import GDT
from lightning_modules.weights.importers.importer import Importer
from lightning_modules.weights.importers.moco import MOCO
from lightning_modules.weights.importers.pretext_contrast import PRETEXT_CONTRAST
from lightning_modules.weights.importers.rspnet import RSPNET
from lightning_modules.weights.importers.selavi import SELAVI
from lightning_modules.weights.importers.tclr import TCLR

# README.md of fmthoker/SEVERE-BENCHMARK (9f1edc7), and the names that its backbones.py gives the files.
_ARCHIVE = "https://surfdrive.surf.nl/files/index.php/s/Zw9tbuOYAInzVQC"
_FOLDER = "checkpoints_pretraining"

_MOCO = "https://github.com/tinapan-pt/VideoMoCo"
_SELAVI = "https://github.com/facebookresearch/selavi"
_TCLR = "https://github.com/DAVEISHAN/TCLR"
_GDT = "https://github.com/facebookresearch/GDT"
_UNSTATED = "none stated in its README"
_IN_REPOSITORY = "LICENSE in the repository"


def reported(
    ucf101: float,
    hmdb51: float,
    something_something: float,
    gym99: float,
    ucf101_few: float,
    gym99_few: float,
    fx_s1: float,
    ub_s1: float,
    repetition_error: float,
    charades: float,
) -> dict[str, float]:
    """A row of table 4.4 or 5.8, with HMDB51 of table B.3 or 5.7: percent, but for the error of repetition counting."""
    return {
        "UCF101": ucf101,
        "HMDB51": hmdb51,
        "SSv2": something_something,
        "Gym99": gym99,
        "UCF101 (1,000)": ucf101_few,
        "Gym99 (1,000)": gym99_few,
        "FX-S1": fx_s1,
        "UB-S1": ub_s1,
        "UCF-RC (error)": repetition_error,
        "Charades (mAP)": charades,
    }


def _entry(
    file_name: str,
    importer: Importer,
    method: str,
    page: str,
    licence: str,
    numbers: Mapping[str, float],
    url: str | None = None,
    inside: str | None = None,
    data: str = "Kinetics-400",
    architecture: str = "R2Plus1D",
) -> Entry:
    """An entry whose file is at ``url``, or else in the benchmark's archive."""
    return Entry(
        file_name,
        architecture,
        importer.networks[architecture],
        method=method,
        data=data,
        page=page,
        url=url or _ARCHIVE,
        sha256=None,
        licence=licence,
        format=importer.name,
        reported=numbers,
        inside=None if url else f"{_FOLDER}/{inside}",
    )


ENTRIES: Mapping[str, Entry] = {
    "moco/r2plus1d_18_kinetics400": _entry(
        "moco_r2plus1d_18_kinetics400.pth.tar",
        MOCO,
        "MoCo",
        _MOCO,
        _UNSTATED,
        reported(83.3, 53.6, 57.1, 90.7, 60.4, 30.9, 65.0, 84.5, 0.208, 8.3),
        inside="moco/checkpoint_0199.pth.tar",
    ),
    "moco/video_moco_r2plus1d_18_kinetics400": _entry(
        "r2plus1D_checkpoint_0199.pth.tar",
        MOCO,
        "VideoMoCo",
        _MOCO,
        _UNSTATED,
        reported(84.9, 58.0, 59.0, 90.3, 65.4, 20.6, 57.3, 83.9, 0.185, 10.5),
        url="https://drive.google.com/file/d/1DzA5Yn43x9ZuirX2jV8CuhhqCnSYky0x/view",
    ),
    "selavi/r2plus1d_18_kinetics400": _entry(
        "selavi_kinetics.pth",
        SELAVI,
        "SeLaVi",
        _SELAVI,
        _IN_REPOSITORY,
        reported(85.2, 54.2, 56.2, 88.9, 69.0, 30.2, 51.3, 80.9, 0.162, 8.4),
        inside="selavi/selavi_kinetics.pth",
    ),
    "selavi/r2plus1d_18_kinetics400_45": _entry(
        "selavi_kinetics_45.pth",
        SELAVI,
        "SeLaVi",
        _SELAVI,
        _IN_REPOSITORY,
        {},
        url="https://dl.fbaipublicfiles.com/selavi/selavi_kinetics_45.pth",
    ),
    "selavi/r2plus1d_18_vgg_sound": _entry(
        "selavi_vgg_sound_150.pth",
        SELAVI,
        "SeLaVi",
        _SELAVI,
        _IN_REPOSITORY,
        {"UCF101, mean of three splits": 86.1, "HMDB51, mean of three splits": 55.1},
        url="https://dl.fbaipublicfiles.com/selavi/selavi_vgg_sound_150.pth",
        data="VGG-Sound",
    ),
    "selavi/r2plus1d_18_ave": _entry(
        "selavi_ave_150.pth",
        SELAVI,
        "SeLaVi",
        _SELAVI,
        _IN_REPOSITORY,
        {},
        url="https://dl.fbaipublicfiles.com/selavi/selavi_ave_150.pth",
        data="AVE",
    ),
    "selavi/r2plus1d_18_kinetics_sound": _entry(
        "selavi_kinetics_sound_150.pth",
        SELAVI,
        "SeLaVi",
        _SELAVI,
        _IN_REPOSITORY,
        {},
        url="https://dl.fbaipublicfiles.com/selavi/selavi_kinetics_sound_150.pth",
        data="Kinetics-Sound",
    ),
    "pretext_contrast/r2plus1d_18_kinetics400": _entry(
        "pcl_r2p1d_res_ssl.pt",
        PRETEXT_CONTRAST,
        "Pretext-Contrast",
        "https://github.com/BestJuly/Pretext-Contrastive-Learning",
        _UNSTATED,
        reported(87.7, 58.4, 56.9, 90.5, 64.6, 27.5, 66.1, 86.1, 0.164, 8.9),
        inside="pretext_checkpoint/pcl_r2p1d_res_ssl.pt",
    ),
    "rspnet/r2plus1d_18_kinetics400": _entry(
        "snellius_checkpoint_epoch_200.pth.tar",
        RSPNET,
        "RSPNet",
        "https://github.com/PeihaoChen/RSPNet",
        _UNSTATED,
        reported(88.7, 59.2, 59.0, 91.1, 74.7, 32.2, 65.4, 83.6, 0.145, 9.0),
        inside="rspnet/snellius_checkpoint_epoch_200.pth.tar",
    ),
    "avid_cma/r2plus1d_18_kinetics400": _entry(
        "avid_cma_ckpt-ep20.pth.tar",
        AVID_CMA,
        "AVID-CMA",
        "https://github.com/facebookresearch/AVID-CMA",
        _IN_REPOSITORY,
        reported(88.8, 58.7, 52.0, 90.4, 68.2, 33.4, 68.0, 87.3, 0.148, 8.2),
        inside="avid_cma/avid_cma_ckpt-ep20.pth.tar",
    ),
    "ctp/r2plus1d_18_kinetics400": _entry(
        "snellius_r2p1d18_ctp_k400_epoch_90.pth",
        CTP,
        "CtP",
        "https://github.com/microsoft/CtP",
        _UNSTATED,
        reported(90.1, 63.2, 59.6, 92.0, 61.0, 32.9, 79.1, 88.8, 0.178, 9.6),
        inside="ctp/snellius_r2p1d18_ctp_k400_epoch_90.pth",
    ),
    "tclr/r2plus1d_18_kinetics400": _entry(
        "rpd18kin400.pth",
        TCLR,
        "TCLR",
        _TCLR,
        "MIT",
        reported(90.8, 60.6, 59.8, 91.6, 72.6, 26.3, 60.7, 84.7, 0.142, 12.2),
        url="https://drive.google.com/file/d/1cuM4vFJA8wDDYmkQeAhwBUDQD0aDGmqD/view",
    ),
    "tclr/r3d_18_kinetics400": _entry(
        "tclr_r3d_18_kinetics400.pth",
        TCLR,
        "TCLR",
        _TCLR,
        "MIT",
        {"UCF101": 85.4, "HMDB51": 55.4},
        url="https://drive.google.com/file/d/1m-u8N18dYFqP9B2JF3dEYOowKg3xDrds/view",
        architecture="R3D",
    ),
    "tclr/r3d_18_ucf101": _entry(
        "tclr_r3d_18_ucf101.pth",
        TCLR,
        "TCLR",
        _TCLR,
        "MIT",
        {"UCF101": 82, "UCF101, linear": 69.9, "UCF101, nearest neighbour": 56.1},
        url="https://drive.google.com/file/d/1wGr6KsC4TcRweAGOFwmOYBPeZe0oGV7r/view",
        data="UCF101",
        architecture="R3D",
    ),
    "gdt/r2plus1d_18_kinetics400": _entry(
        "gdt_K400.pth",
        GDT,
        "GDT",
        _GDT,
        "CC-NC 4.0 International",
        reported(91.3, 64.8, 58.0, 90.5, 78.4, 45.6, 66.0, 83.4, 0.123, 8.5),
        url="https://dl.fbaipublicfiles.com/GDT/gdt_K400.pth",
    ),
    "gdt/r2plus1d_18_howto100m": _entry(
        "gdt_HT100M.pth",
        GDT,
        "GDT",
        _GDT,
        "CC-NC 4.0 International",
        {"UCF101": 94.1, "HMDB51": 67.4},
        url="https://dl.fbaipublicfiles.com/GDT/gdt_HT100M.pth",
        data="HowTo100M",
    ),
    # Its README has the two numbers in each other's column.
    "gdt/r2plus1d_18_ig65m": _entry(
        "gdt_IG65M.pth",
        GDT,
        "GDT",
        _GDT,
        "CC-NC 4.0 International",
        {"UCF101": 95.2, "HMDB51": 72.8},
        url="https://dl.fbaipublicfiles.com/GDT/gdt_IG65M.pth",
        data="IG65M",
    ),
}
