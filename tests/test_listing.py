"""``lightning configs``: every shipped config, its tables and its numbers, from the tables of ``configs/README.md``."""

import re

import pytest

import cli
import configs
from configs.listing import choose, read_places, split_tables


def listing(capsys, *arguments):
    code = cli.main(["configs", *arguments])
    output = capsys.readouterr()
    return code, output.out + output.err


def test_all_are_listed(capsys):
    code, text = listing(capsys)
    assert code == 0
    for name in configs.shipped():
        assert f"{name} " in text


@pytest.mark.parametrize(
    ("name", "table", "numbers"),
    [
        ("skeleton_linear/table_3_1_ntu60_xview.yaml", "3.1", "85.2"),
        ("skeleton_semi_supervised/table_3_3_ntu60_xsub_5_scratch.yaml", "3.3", "42.8 ± 0.5"),
        ("depth_recognition/table_2_4_rgb_kinetics_50.yaml", "2.4", "47.38 ± 0.5"),
        ("severe/gym99.yaml", "4.2", "None 84.8, supervised 88.6"),
        ("severe/ucfrep.yaml", "4.3, 4.4, 5.8", "None 0.217, supervised 0.132, tubelet contrast 0.150"),
        ("severe/diving48.yaml", "C.1", "None 81.1, temporal contrast 82.4, supervised 84.5, tubelet contrast 89.0"),
        ("tubelet_contrast/table_c6_scale_20.yaml", "C.6", "UCF (10^3) 65.6, Gym (10^3) 46.0"),
        ("skeleton_contrast/ntu60_xview.yaml", "A.4", ""),
        ("depth_recognition/figure_2_3_scratch.yaml", "figure 2.3", ""),
    ],
)
def test_numbers_of_the_thesis(name, table, numbers):
    assert (table, numbers) in [(place.table, place.numbers) for place in read_places()[name]]


def test_rows_say_what_they_are():
    place = read_places()["skeleton_linear/table_3_5_image_crop_pose.yaml"][0]
    assert place.row == "crop-resize, pose, image"


def test_numbers_are_those_of_the_configs():
    """The numbers of the tables stand in the comments of their configs, too."""
    compared = 0
    for name, places in read_places().items():
        text = " ".join(line.lstrip("# ") for line in (configs.FOLDER / name).read_text().splitlines() if "#" in line)
        said = text.partition("The thesis' ")[2]
        for number in re.findall(r"\d+\.\d+", re.sub(r" ± [\d.]+|\(10\^3\)", "", " ".join(p.numbers for p in places))):
            assert number in said, f"{name}: {number} is in configs/README.md and not in its comment"
            compared += 1
    assert compared > 200


def test_every_config_of_a_table_has_it():
    places = read_places()
    for name, title in configs.shipped().items():
        if found := re.match(r"Table ([2-5A-C]\.\d+)", title):
            assert found[1] in [table for place in places[name] for table in place.table.split(", ")], name


def test_patterns(capsys):
    places = read_places()
    assert set(choose("severe/*", places)) == {name for name in configs.shipped() if name.startswith("severe/")}
    assert "tubelet_contrast/table_5_4_shear.yaml" in choose("Table 5.4", places)
    assert "tubelet_mini_kinetics.yaml" in choose("table 5.4", places)  # tables 5.2 to 5.5
    assert "skeleton_contrast/ntu60_xview.yaml" in choose("table A.4", places)
    assert len(choose("figure 2.3", places)) == 6
    assert split_tables("5.2 to 5.5, C.1 and C.3") == ["5.2", "5.3", "5.4", "5.5", "c.1", "c.3"]
    code, text = listing(capsys, "tubelet_mini_kinetcs.yaml")
    assert code == 2
    assert text.startswith("lightning: error: configs: none fits 'tubelet_mini_kinetcs.yaml'; near: tubelet_mini_kin")
    assert listing(capsys, "--size")[0] == 2
