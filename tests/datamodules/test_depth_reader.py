"""Depth maps: 16-bit PNGs, strictly."""

import cv2
import numpy as np
import pytest
import torch
from torchvision.io import write_png

from datamodules.readers.depth import DepthError, DepthReader
from datamodules.writers.depth import encode_png, write_depth


def pictures(num_frames=5, height=6, width=8, seed=0):
    return np.random.default_rng(seed).integers(0, 8000, (num_frames, height, width)).astype(np.uint16)


@pytest.fixture
def folder(tmp_path):
    write_depth(tmp_path / "a", pictures(), "masked")
    return tmp_path / "a"


def test_written_maps_come_back(folder):
    reader = DepthReader(folder)
    assert reader.num_frames == 5
    read = reader.read(np.array([4, 0, 0, 2]))
    assert read.dtype == np.int16
    np.testing.assert_array_equal(read, pictures()[[4, 0, 0, 2]])


def test_opencv_reads_them_alike(folder):
    np.testing.assert_array_equal(cv2.imread(folder / "MDepth-00000003.png", cv2.IMREAD_UNCHANGED), pictures()[2])


def test_other_writers_pngs_are_read(folder):
    cv2.imwrite(folder / "MDepth-00000002.png", pictures(seed=1)[1])  # with filters
    np.testing.assert_array_equal(DepthReader(folder).read(np.array([1]))[0], pictures(seed=1)[1])


def test_a_resized_map_holds_measured_values_only(folder):
    small = DepthReader(folder).read(np.arange(5), size=(3, 4))
    np.testing.assert_array_equal(small, pictures()[:, 1::2, 1::2])
    large = DepthReader(folder).read(np.arange(5), size=(12, 16))
    np.testing.assert_array_equal(large, pictures().repeat(2, 1).repeat(2, 2))


def test_more_than_int16_holds_is_cut(tmp_path):
    write_depth(tmp_path, np.full((1, 2, 2), 65_535, np.uint16), "full")
    assert DepthReader(tmp_path, "full").read(np.array([0])).max() == 32_767


def test_masked_and_full_maps_share_a_folder(folder):
    write_depth(folder, pictures(2, seed=3), "full")
    assert DepthReader(folder, "full").num_frames == 2
    assert DepthReader(folder, "masked").num_frames == 5


def grey(path):
    write_png(torch.zeros(1, 6, 8, dtype=torch.uint8), str(path))


def colour(path):
    write_png(torch.zeros(3, 6, 8, dtype=torch.uint8), str(path))


def wrong_size(path):
    path.write_bytes(encode_png(pictures(1, 7, 8)[0]))


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def flipped(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def text(path):
    path.write_text("no picture")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (grey, "8 bits (grey)"),
        (colour, "8 bits (RGB)"),
        (wrong_size, "is 8x7, others of the sample are 8x6"),
        (cut, "damaged or cut short"),
        (flipped, "damaged or cut short"),
        (text, "is no PNG"),
    ],
)
def test_a_wrong_picture_is_one_clear_line(folder, damage, words):
    damage(folder / "MDepth-00000003.png")
    reader = DepthReader(folder)
    reader.read(np.array([0, 1]))
    with pytest.raises(DepthError) as caught:
        reader.read(np.arange(5))
    assert str(caught.value).startswith(f"{folder / 'MDepth-00000003.png'}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_number_is_named(folder):
    (folder / "MDepth-00000004.png").unlink()
    with pytest.raises(DepthError, match=r"MDepth-00000004.png: is missing, and the numbers run to 5"):
        DepthReader(folder)


def test_a_folder_without_maps(folder, tmp_path):
    with pytest.raises(DepthError, match=r"holds no Depth-00000001.png"):
        DepthReader(folder, "full")
    with pytest.raises(DepthError, match="cannot be listed"):
        DepthReader(tmp_path / "none")
