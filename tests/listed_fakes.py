"""What tests of officially listed videos share."""

import logging
from pathlib import Path

import pytest
from pytorch_lightning import Trainer

from datamodules.listed_videos import ListedVideoDataModule
from datamodules.sample_list import SampleList

# Names as they occur, and worse.
ODD_NAMES = (
    "50_FIRST_DATES_kick_f_cm_np1_ba_med_19.avi",
    "#20_Rhythm_clap_u_nm_np1_fr_goo_0.avi",
    "Best_Of_Skype_Laughter_Chain_laugh_h_nm_np1_le_goo_3(1).avi",
    "20060723sfjffangelina_kick_u_cm_np1_fr_med_0 (copy).avi",
    "LONGESTYARD_!()&;#[]@=+,'~{}$%^_hit_f_cm_np2_le_bad_14.avi",
    "a 1.avi",
    "ü\u00df_\u4e2d.avi",
)


def touch(root: Path, *names: str) -> None:
    """Make empty files."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def rows(samples: SampleList, root: Path) -> list[tuple[str, int]]:
    """Path relative to the root, and label, of each sample."""
    return [(str(Path(samples.path(row)).relative_to(root)), samples.label(row)) for row in range(len(samples))]


def report(data: ListedVideoDataModule, run: Path, caplog: pytest.LogCaptureFixture) -> str:
    """Set a data module up inside a run; return the one line that it logs."""
    data.trainer = Trainer(accelerator="cpu", default_root_dir=run, logger=False)
    with caplog.at_level(logging.INFO):
        data.setup("fit")
    (line,) = [record.message for record in caplog.records if type(data).__name__ in record.message]
    return line


def fails(message: str, data: ListedVideoDataModule) -> None:
    """Expect one clear line."""
    with pytest.raises(ValueError, match=message) as error:
        data.setup("fit")
    assert "\n" not in str(error.value)
