"""Charades: tables, labels of clips and videos, crops, and the embedded set."""

import re

import numpy as np
import pytest
import torch
from fakes import moving_texture, write_video
from listed_fakes import fails, report, rows, touch

from datamodules import CharadesDataModule, SyntheticCharadesDataModule
from datamodules.charades import ActionList, read_classes, read_videos
from datamodules.listed_videos import ListedVideo
from datamodules.readers.video import VideoReader
from datamodules.sampling.resumable_sampler import Draw
from datamodules.synthetic_charades import CLASSES, Act, draw_acts, perform

HEADER = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length"
TRAIN = [
    '46GP8,HR43,Kitchen,6,7,Yes,"A person, at a stove, says ""hello"".",food;stove,"One; two, three.",'
    "c001 0.50 1.00;c000 0.90 2.00,2.40",
    'N11GT,0KZ7,Stairs,5,7,Yes,"Someone\nwalks.",,Stairs.,,2.40',
]
TEST = ["YMXV0,LMH4,Office,4,7,No,Reading.,book,Reading a book.,c002 1.10 0.20;c001 3.00 4.00,2.40"]


def write_lists(folder, train=TRAIN, test=TEST, header=HEADER, classes=3):
    folder.mkdir(parents=True, exist_ok=True)
    names = "".join(f"c{number:03d} Doing something {number}\n" for number in range(classes))
    (folder / "Charades_v1_classes.txt").write_text(names)
    for split, table in (("train", train), ("test", test)):
        (folder / f"Charades_v1_{split}.csv").write_text("\n".join([header, *table]) + "\n")
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Three videos of 48 frames at 20 a second."""
    folder = tmp_path_factory.mktemp("charades")
    write_lists(folder / "Charades")
    for seed, name in enumerate(("46GP8", "N11GT", "YMXV0")):
        write_video(folder / "Charades_v1_480" / f"{name}.mp4", moving_texture(48, 24, 40, seed=seed), fps=20)
    return folder


def data(root, **changes):
    arguments = {"num_frames": 4, "strides": (2,), "crop_size": 16, "short_sides": (20, 24), "eval_short_side": 18}
    arguments |= {"eval_clips": 2, "global_batch_size": 2, "num_workers": 0}
    return CharadesDataModule(root, **{**arguments, **changes})


def refused(words, call, *arguments):
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)


def test_tables_are_read_and_oddities_told(root, tmp_path, caplog):
    module = data(root)
    line = report(module, tmp_path, caplog)
    assert rows(module.train_samples, root) == [
        ("Charades_v1_480/46GP8.mp4", -1),
        ("Charades_v1_480/N11GT.mp4", -1),
    ]
    assert module.num_classes == 3
    assert module.class_names[2] == "Doing something 2"
    assert module.train_samples.action_classes.tolist() == [1, 0]
    assert module.train_samples.action_times.tolist() == [[0.5, 1.0], [0.9, 2.0]]
    assert module.train_samples.first_action.tolist() == [0, 2, 2]
    assert module.val_samples.action_times.tolist() == [[0.2, 1.1], [3.0, 4.0]]
    table = root / "Charades" / "Charades_v1_test.csv"
    assert "2 training videos, 1 for evaluation, 3 classes" in line
    assert "official are 7,985 and 1,863" in line
    assert "1 of the classes have no training video, such as Doing something 2" in line
    assert f"1 actions end before they start (both are exchanged), such as {table}:2" in line
    assert f"1 actions start after the end of their video, such as {table}:2" in line


def test_training_clips_have_the_labels_of_what_is_seen(root):
    module = data(root, num_clips=8)
    module.setup("fit")
    dataset = module.dataset(module.train_samples, training=True)
    seen = set()
    with VideoReader(module.train_samples.path(0)) as video:
        for seed in range(12):
            sample = dataset[Draw(0, seed)]
            generator = torch.Generator().manual_seed(seed)
            torch.randint(2, (), generator=generator)  # the short side
            frames = dataset.clips.random(video, generator)
            assert sample["clip"].shape == (8, 4, 16, 16, 3)
            for clip, present in zip(frames / 20, sample["present"].tolist(), strict=True):
                expected = [0.9 <= clip[-1] and clip[0] <= 2.0, 0.5 <= clip[-1] and clip[0] <= 1.0, False]
                assert present == expected
                seen.add(tuple(present))
    assert seen == {(False, False, False), (False, True, False), (True, True, False), (True, False, False)}
    whole = data(root, training_labels="video")
    whole.setup("fit")
    samples = [whole.dataset(whole.train_samples, training=True)[Draw(0, seed)] for seed in range(3)]
    assert [sample["present"].tolist() for sample in samples] == [[[True, True, False]]] * 3


def test_evaluation_takes_crops_along_the_longer_side_and_labels_of_the_video(root):
    module = data(root, eval_crops=3)
    module.setup("test")
    (batch,) = module.test_dataloader()
    assert batch["clip"].shape == (1, 6, 4, 16, 16, 3)
    assert batch["present"].tolist() == [[[False, True, True]] * 6]
    assert batch["label"].tolist() == [-1]
    with VideoReader(module.val_samples.path(0)) as video:
        images = video.read(np.array([0, 2, 4, 6, 41, 43, 45, 47]), 18).reshape(2, 4, 18, 30, 3)
    expected = np.stack([images[:, :, 1:17, left : left + 16] for left in (0, 7, 14)], 1).reshape(6, 4, 16, 16, 3)
    np.testing.assert_array_equal(batch["clip"][0], expected)
    centre = data(root, eval_crops=1)
    centre.setup("test")
    (one,) = centre.test_dataloader()
    torch.testing.assert_close(one["clip"][0], batch["clip"][0, 1::3])


def test_upright_videos_are_cropped_from_top_to_bottom(root, tmp_path):
    write_lists(tmp_path)
    for name in ("46GP8", "N11GT", "YMXV0"):
        write_video(tmp_path / f"{name}.mp4", moving_texture(10, 40, 24), fps=20)
    module = data(tmp_path, eval_crops=2, eval_clips=1)
    module.setup("test")
    (batch,) = module.test_dataloader()
    with VideoReader(module.val_samples.path(0)) as video:
        images = video.read(np.array([1, 3, 5, 7]), 18)
    np.testing.assert_array_equal(batch["clip"][0], np.stack([images[:, top : top + 16, 1:17] for top in (0, 14)]))


def test_a_part_of_a_list_keeps_its_actions():
    listed = [
        ListedVideo(str(row), -1, actions=tuple((row, float(number), 9.0) for number in range(row))) for row in range(4)
    ]
    part = ActionList((row.name, row) for row in listed).select(torch.tensor([False, True, False, True]))
    assert [part.path(row) for row in range(2)] == ["1", "3"]
    assert part.first_action.tolist() == [0, 1, 4]
    assert part.present(1, 4).tolist() == [[False, False, False, True]]
    assert part.action_times[:, 0].tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize(
    ("action", "problem"),
    [
        (
            "c003 0.10 0.20",
            "action `c003 0.10 0.20` of AAAAA is not `class start end` in seconds, with a class from c000 to c002",
        ),
        ("c001 0.10", "action `c001 0.10` of AAAAA"),
        ("c001 -0.10 0.20", "action `c001 -0.10 0.20` of AAAAA"),
        ("c001 nan 0.20", "action `c001 nan 0.20` of AAAAA"),
        ("o001 0.10 0.20", "action `o001 0.10 0.20` of AAAAA"),
    ],
)
def test_actions_that_are_none(tmp_path, action, problem):
    write_lists(tmp_path, [*TRAIN, f"AAAAA,,,,,,,,,{action},", f"BBBBB,,,,,,,,,c000 1 2;{action},"])
    touch(tmp_path, "46GP8.mp4")
    file = tmp_path / "Charades_v1_train.csv"
    # The second row of the table takes two lines.
    fails(
        re.escape(f"{file}:5: {problem}") + r".* \(2 lines of this file are wrong\); correct the file", data(tmp_path)
    )


def test_rows_that_are_none(tmp_path):
    file = tmp_path / "Charades_v1_train.csv"
    write_lists(tmp_path, [TRAIN[0], TRAIN[0]])
    refused(f"{file}:3: video '46GP8' is listed before; correct the file", read_videos, file, 3, {})
    write_lists(tmp_path, ["  ,,,,,,,,,,"])
    refused(f"{file}:2: has no id", read_videos, file, 3, {})
    write_lists(tmp_path, ["46GP8,HR43"])
    refused(f"{file}:2: has not as many values as the first line has names", read_videos, file, 3, {})
    write_lists(tmp_path, ["46GP8"], header="id")
    refused(f"{file}:1: columns actions are missing", read_videos, file, 3, {})
    write_lists(tmp_path, [])
    refused(f"{file}: lists no videos", read_videos, file, 3, {})
    refused(f"{tmp_path / 'other.csv'}: cannot be read", read_videos, tmp_path / "other.csv", 3, {})


def test_a_table_without_lengths_is_read(tmp_path):
    write_lists(tmp_path, ["46GP8,c001 5.00 6.00"], header="id,actions")
    odd = {}
    (row,) = read_videos(tmp_path / "Charades_v1_train.csv", 3, odd)
    assert row == ListedVideo("46GP8.mp4", -1, None, ((1, 5.0, 6.0),))
    assert not odd


def test_lists_that_are_missing_or_no_classes(tmp_path):
    touch(tmp_path, "46GP8.mp4")
    fails("Charades_v1_classes.txt: no such list in", data(tmp_path))
    file = tmp_path / "classes.txt"
    file.write_text("c000 Holding some clothes\nc002 Sitting\n")
    refused(f"{file}:2: `c002 Sitting` is not `c001 <class>`", read_classes, file)
    file.write_text("")
    refused(f"{file}: is empty", read_classes, file)


def test_arguments_out_of_range(tmp_path):
    with pytest.raises(ValueError, match="eval_short_side=12 must not be smaller than crop_size=16"):
        data(tmp_path, eval_short_side=12)
    with pytest.raises(ValueError, match="training_labels='frame' must be clip or video"):
        data(tmp_path, training_labels="frame")
    with pytest.raises(ValueError, match="eval_crops"):
        data(tmp_path, eval_crops=0)


def test_the_embedded_set_is_written_once_and_read(tmp_path):
    arguments = {"train_videos": 5, "test_videos": 3, "video_frames": 40, "num_workers": 0, "global_batch_size": 4}
    module = SyntheticCharadesDataModule(tmp_path, **arguments)
    module.prepare_data()
    module.setup("fit")
    assert (len(module.train_samples), len(module.val_samples)) == (5, 3)
    assert module.class_names[0] == "Bouncing something"
    assert module.num_classes == len(CLASSES) == 9
    assert not module.odd
    batch = next(iter(module.train_dataloader()))
    assert batch["clip"].shape == (4, 1, 8, 32, 32, 3)
    assert batch["present"].shape == (4, 1, 9)
    table = (module.root / "Charades" / "Charades_v1_train.csv").read_bytes()
    assert table.count(b"\r\n") == 6
    assert SyntheticCharadesDataModule(tmp_path, content_seed=1).root != module.root


def test_embedded_objects_move_while_they_act_alone():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        acts = draw_acts(56, rng)
        assert all(0 <= act.start < act.end <= 56 for act in acts)
        pose = perform(acts, 56, 40, 48, rng)
        doing = np.zeros(56, bool)
        for act in acts:
            assert not doing[act.start : act.end].any()
            doing[act.start : act.end] = True
        moves = np.abs(np.diff(np.stack(pose))).max(0) > 1e-4
        still = ~doing[1:] & ~doing[:-1]
        assert not moves[still].any()
        assert not acts or moves[doing[1:] & doing[:-1]].mean() > 0.9
    falling = perform([Act(CLASSES.index("Falling"), 10, 30)], 40, 40, 48, np.random.default_rng(0))
    assert (np.diff(falling.y[10:30]) > 0).all()
    assert falling.y[30] == falling.y[-1] == pytest.approx(falling.y[29])
    assert (falling.x == falling.x[0]).all()
