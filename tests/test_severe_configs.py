"""The SEVERE configs hold the hyper-parameters of tables B.2 and C.4."""

import pytest
import yaml

import configs

FINE_TUNING = {
    "ucf101": (32, 1e-4, 160, [60, 100, 140]),
    "hmdb51": (32, 1e-4, 160, [60, 100, 140]),
    "ntu60": (32, 1e-4, 180, [90, 140, 160]),
    "gym99": (32, 1e-4, 160, [60, 100, 140]),
    "ssv2": (32, 1e-4, 45, [25, 35, 40]),
    "epic_verb": (32, 0.0025, 30, [20, 25]),
    "ucf101_1000": (32, 1e-4, 160, [80, 120, 140]),
    "gym99_1000": (32, 1e-4, 160, [80, 120, 140]),
    "fx_s1": (32, 1e-4, 160, [70, 120, 140]),
    "ub_s1": (32, 1e-4, 160, [70, 120, 140]),
    "vault": (32, 1e-4, 160, [60, 100, 140]),
    "floor": (32, 1e-4, 160, [60, 100, 140]),
    "gym288": (32, 1e-4, 160, [60, 100, 140]),
}
LINEAR = {
    "ucf101": (64, 0.01, 100, [40, 80]),
    "ntu60": (64, 0.01, 120, [40, 80, 100]),
    "gym99": (64, 0.01, 120, [40, 80, 100]),
    "ssv2": (64, 0.01, 40, [20, 30]),
    "epic_verb": (32, 0.0025, 30, [20, 25]),
    "kinetics400": (64, 0.01, 40, [10, 20, 30]),
}


def merged(under, over):
    """Values of a config over those of its base."""
    both = {**under, **over}
    for name in under.keys() & over.keys():
        if isinstance(under[name], dict) and isinstance(over[name], dict):
            both[name] = merged(under[name], over[name])
    return both


def values(name):
    result = {}
    for part in configs.chain(name):
        result = merged(result, yaml.safe_load(part.text) or {})
    return result


@pytest.mark.parametrize(
    ("name", "expected"),
    [(f"severe/{name}.yaml", row) for name, row in FINE_TUNING.items()]
    + [(f"severe_linear/{name}.yaml", row) for name, row in LINEAR.items()],
)
def test_hyper_parameters(name, expected):
    config = values(name)
    model, data = config["model"]["init_args"], config["data"]["init_args"]
    found = (data["global_batch_size"], model["learning_rate"], config["trainer"]["max_epochs"], model["milestones"])
    assert found == expected
    assert model["mode"] == ("linear" if name.startswith("severe_linear") else "finetune")
    assert (model["optimizer"], model["gamma"], model["weight_decay"]) == ("adam", 0.1, 0)
    clip = {"num_frames": 32, "fps": 16, "crop_size": 112, "short_sides": [128], "eval_clips": 10}
    assert data.items() >= {**clip, "random_resized_crop": True}.items()
    assert config["trainer"]["max_epochs"] % config["trainer"]["check_val_every_n_epoch"] == 0  # the last is measured


def test_detection_on_ava_is_that_of_b_2_4():
    config = values("severe/ava.yaml")
    model, data = config["model"]["init_args"], config["data"]["init_args"]
    assert (model["optimizer"], model["learning_rate"], model["milestones"], model["gamma"]) == (
        "sgd",
        0.1,
        [10, 15],
        0.1,
    )
    clips = {"num_frames": 32, "stride": 2, "crop_size": 112, "eval_num_frames": 8, "eval_stride": 8, "version": "2.2"}
    assert data.items() >= {**clips, "global_batch_size": 32}.items()
    assert config["trainer"]["max_epochs"] == 20


def test_hyper_parameters_of_repetition_counting():
    config = values("severe/ucfrep.yaml")
    model, data, epochs = config["model"]["init_args"], config["data"]["init_args"], config["trainer"]["max_epochs"]
    assert (model["optimizer"], model["learning_rate"], model["milestones"]) == ("adam", 5e-5, [])
    assert (model["num_frames"], data["crop_size"], model["contexts"] * data["global_batch_size"]) == (32, 112, 32)
    assert epochs * 421 * model["contexts"] == pytest.approx(2e6, rel=0.02)  # sequences, B.2.4
    assert epochs % config["trainer"]["check_val_every_n_epoch"] == 0


def test_hyper_parameters_of_charades():
    """B.2.4, table C.4."""
    config = values("severe/charades.yaml")
    model, data = config["model"]["init_args"], config["data"]["init_args"]
    assert (data["global_batch_size"], model["learning_rate"], config["trainer"]["max_epochs"]) == (16, 0.0375, 57)
    assert (model["optimizer"], model["milestones"], model["gamma"]) == ("sgd", [41, 49], 0.1)
    clip = {"num_frames": 32, "strides": [8], "crop_size": 112, "eval_clips": 10, "eval_crops": 3}
    assert data.items() >= clip.items()
    assert config["trainer"]["max_epochs"] % config["trainer"]["check_val_every_n_epoch"] == 0


def test_hyper_parameters_of_arrow_of_time():
    """B.2.4."""
    config = values("severe/arrow_of_time.yaml")
    model, data = config["model"]["init_args"], config["data"]["init_args"]
    assert (data["global_batch_size"], model["learning_rate"], config["trainer"]["max_epochs"]) == (12, 1e-5, 10)
    assert (model["milestones"], model["flip"], any(model["colour_jitter"])) == ([], False, False)
    assert (data["num_frames"], data["crop_size"]) == (8, 112)
