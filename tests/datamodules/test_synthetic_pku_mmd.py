"""The embedded PKU-MMD: real formats and names, actions where the labels say, the known oddities by option."""

from itertools import pairwise

import numpy as np
import pytest
from motion_oracle import oracle

from datamodules import PKUMMDSkeletonDataModule, SyntheticPKUMMDDataModule, SyntheticPKUMMDDetectionDataModule
from datamodules.depth_camera import SeenBody
from datamodules.kinematic_body import BONES, CLASSES, ONE_PERSON, Act
from datamodules.pku_protocol import is_video, read_split
from datamodules.readers.skeleton import read_pku
from datamodules.skeleton_dataset import read_index
from datamodules.synthetic_pku_mmd import PKUContent, label_text
from datamodules.writers.skeleton import write_pku


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Two performers, written once for all tests."""
    folder = tmp_path_factory.mktemp("pku")
    module(folder).prepare_data()
    return folder


def module(cache, **changes):
    return SyntheticPKUMMDDataModule(**{"cache": cache, "performers": 2, "num_workers": 0, **changes})


def performances(performers=3):
    content = PKUContent(performers, 2, 0, 1.0, False)
    return [(performance, *content.perform(performance)) for performance in content.performances()]


def test_an_oracle_finds_the_action_in_each_segment():
    for performance, bodies, acts in performances():
        assert [act.label for act in acts] == list(performance.labels)
        assert [oracle(bodies[:, act.start : act.end]) for act in acts] == list(performance.labels)
        assert acts[0].start > 10
        assert all(after.start - before.end > 20 for before, after in pairwise(acts))
        assert bodies.shape[1] - acts[-1].end > 10
        assert performance.partner != performance.subject


def test_everybody_moves_smoothly_and_rests_in_between():
    for _, bodies, acts in performances(2):
        steps = np.linalg.norm(np.diff(bodies, axis=1), axis=-1)
        assert steps.max() < 0.25  # 7.5 m/s
        for body in bodies:
            for joint, (parent, _) in BONES.items():
                length = np.linalg.norm(body[:, joint] - body[:, parent], axis=-1)
                np.testing.assert_allclose(length, length[0], rtol=1e-9)
        for before, after in pairwise(acts):
            middle = (before.end + after.start) // 2
            assert (bodies[:, middle, [7, 11], 1] < bodies[:, middle, [4, 8], 1] - 0.3).all()  # hands hang
            assert steps[:, middle].max() < 0.03


def test_each_performer_does_everything():
    done = {}
    for performance, bodies, _ in performances():
        assert len(bodies) == (1 if performance.labels[0] < ONE_PERSON else 2)
        done.setdefault(performance.subject, []).extend(performance.labels)
    assert sorted(done) == [1, 2, 3]
    assert all(set(labels) == set(range(len(CLASSES))) for labels in done.values())


def test_writes_a_pku_mmd_and_reads_it(cache, caplog):
    data = module(cache)
    assert isinstance(data, PKUMMDSkeletonDataModule)
    data.prepare_data()
    with caplog.at_level("INFO"):
        data.setup("fit")
    assert "phase 1 xsub, 54 training sequences, 54 to test" in caplog.text
    assert "official" not in caplog.text
    assert data.num_classes == len(CLASSES)
    assert sorted(path.name for path in data.root.iterdir()) == ["PKU_Skeleton_Renew", "Split", "Train_Label_PKU_final"]
    for folder in ("PKU_Skeleton_Renew", "Train_Label_PKU_final"):
        names = sorted(path.stem for path in (data.root / folder).iterdir())
        assert names == [f"{number:04d}-{camera}" for number in range(2, 6) for camera in "LMR"]
        assert all(is_video(name, 1) for name in names)
    train, test = read_split(data.root / "Split" / "cross-view.txt")
    assert {name[-1] for name in train} == {"M", "R"}
    assert {name[-1] for name in test} == {"L"}
    index = read_index(data.folder)
    assert len(index) == 2 * 3 * (ONE_PERSON + 8)
    assert min(sample.frames for sample in index) > 25
    batch = next(iter(data.train_dataloader()))
    assert batch["skeleton"].shape == (64, 3, 300, 25, 2)
    for skeleton, label in zip(batch["skeleton"], batch["label"], strict=True):
        assert bool(skeleton[..., 1].any()) == (label >= ONE_PERSON)
    assert {sample[:4] for sample in batch["name"]} == {"0002", "0003"}


def test_cross_view(cache):
    data = module(cache, protocol="xview")
    data.prepare_data()
    data.setup("fit")
    assert (len(data.train_samples), len(data.val_samples)) == (72, 36)


def test_the_format_is_that_of_real_files(cache, shared_data):
    ours = sorted(module(cache).root.glob("PKU_Skeleton_Renew/*.txt"))[0].read_text()
    real = (shared_data / "pku_mmd" / "skeletons" / "A10N08-L.txt").read_text()
    for text in (ours, real):
        assert text.endswith("\n")
        first, *others = text.splitlines()
        assert not first.startswith(" ")
        assert all(line.startswith(" ") and not line.startswith("  ") for line in others)
        for line in (first, others[-1]):
            words = line.strip().split(" ")
            assert len(words) == 150
            assert all(len(word.partition(".")[2]) == 6 for word in words)
    labels = sorted(module(cache).root.glob("Train_Label_PKU_final/*.txt"))[0].read_text()
    assert all(len(line.split(",")) == 4 for line in labels.splitlines())


def test_what_is_written_is_read(tmp_path):
    """Each body keeps its place while the other is lost."""
    body = np.round(np.random.default_rng(0).uniform(0.5, 3, (3, 3, 25, 3)), 6)
    tracking = np.full(25, 2)
    shown = [[0], [1], [1, 0, 2]]
    frames = [[SeenBody(m, body[m, t], tracking) for m in bodies] for t, bodies in enumerate(shown)]
    write_pku(tmp_path / "0002-L.txt", frames)
    zero = np.zeros((25, 3))
    expected = [[body[0, 0], zero, body[0, 2]], [zero, body[1, 1], body[1, 2]]]
    np.testing.assert_array_equal(read_pku(tmp_path / "0002-L.txt"), np.float32(expected))


def test_oddities_run_through_the_written_rules(tmp_path, cache):
    plain, odd = module(cache), module(tmp_path, oddities=True)
    with pytest.warns(UserWarning, match=r"a rule was applied to .*: 6 confidence 0 .*, 6 inverted .*"):
        odd.prepare_data()
    for data in (plain, odd):
        data.setup("fit")
    assert [odd.train_samples.path(row) for row in range(54)] == [plain.train_samples.path(row) for row in range(54)]
    longer = odd.train_samples.num_frames - plain.train_samples.num_frames
    assert (longer > 0).sum() == 6  # those that last to the end of the video
    last = sorted(odd.root.glob("Train_Label_PKU_final/0002-L.txt"))[0].read_text().splitlines()[-1]
    assert int(last.split(",")[2]) == read_pku(odd.root / "PKU_Skeleton_Renew" / "0002-L.txt").shape[1]


def test_oddities_are_as_in_the_real_files():
    acts = [Act(2, 10, 20), Act(0, 30, 40), Act(5, 50, 60)]
    assert label_text(acts, 75, False) == "3,10,20,2\n1,30,40,2\n6,50,60,2\n"
    assert label_text(acts, 75, True) == "3,20,10,2\n1,30,40,0\n6,50,75,2\n"


def test_written_once_and_the_same_again(tmp_path, cache):
    data = module(cache)
    times = {path: path.stat().st_mtime_ns for path in data.root.rglob("*")}
    data.prepare_data()
    assert {path: path.stat().st_mtime_ns for path in data.root.rglob("*")} == times
    again = module(tmp_path)
    again.prepare_data()
    for path in data.root.rglob("*.txt"):
        assert path.read_bytes() == (again.root / path.relative_to(data.root)).read_bytes()
    assert module(tmp_path, content_seed=1).root != again.root


def test_whole_videos_come_from_the_same_files(cache):
    data = SyntheticPKUMMDDetectionDataModule(cache, 2, num_workers=0, eval_batch_size=2)
    assert data.root == module(cache).root
    data.prepare_data()
    data.setup("fit")
    assert data.num_classes == len(CLASSES)
    batch = next(iter(data.val_dataloader()))
    assert batch["name"] == ["0004-L", "0004-M"]
    performance = list(data.content.performances())[2]
    bodies, acts = data.content.perform(performance)
    assert batch["num_frames"].tolist() == [bodies.shape[1]] * 2
    assert batch["segments"][1].tolist() == [list(act) for act in acts]


@pytest.mark.parametrize("changes", [{"performers": 1}, {"performers": 5000}, {"repetitions": 0}, {"noise": -1}])
def test_what_is_refused(tmp_path, changes):
    with pytest.raises(ValueError, match=f"{next(iter(changes))}="):
        module(tmp_path, **changes)
