"""What a training step asks of the device before it goes on: nothing, so that a GPU always has its next work.

On a CPU nothing waits, but the questions are the same: reads of values that come of the weights or the batch, Python
numbers that are logged, which Lightning copies to the device, and barriers of all processes.
"""

import contextlib
import json
import traceback

import pytest
import recognition_fakes
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from callbacks import DataWait, ProgressBar, RunRecord
from datamodules import SyntheticKineticsDataModule
from lightning_modules import ActionRecognition, FineTuning, SkeletonContrast, TubeletContrast
from lightning_modules.networks import R2Plus1D
from lightning_modules.reproducible import Reproducible
from lightning_modules.side_stream import SideStream
from lightning_modules.views.skeleton import SkeletonAugmentation
from lightning_modules.views.tubelets import Tubelets

READS = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "aten.equal", "_unique2")


class Questions(TorchDispatchMode):
    """Notes where values on the device are read; that is what the module, the batch and all made of them are."""

    def __init__(self):
        super().__init__()
        self.asked, self.on_device, self._kept, self._listens = [], set(), [], False

    def put_on_device(self, tree):
        for tensor in tree_leaves(tree):
            if isinstance(tensor, torch.Tensor):
                self._kept.append(tensor)  # else another might get its number
                self.on_device.add(id(tensor))

    @contextlib.contextmanager
    def listening(self, listens):
        before, self._listens = self._listens, listens
        yield
        self._listens = before

    def ask(self, what):
        if self._listens:
            own = [line for line in traceback.extract_stack() if "dispatch" not in line.filename]
            self.asked.append(f"{what} {own[-3].filename}:{own[-3].lineno}")

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        if "c10d" in str(function):  # as NCCL exchanges what is on devices
            self.put_on_device((arguments, named))
        touches = any(id(leaf) in self.on_device for leaf in tree_leaves((arguments, named)))
        if touches and any(name in str(function) for name in READS):
            self.ask(str(function))
        result = function(*arguments, **(named or {}))
        if touches:
            self.put_on_device(result)
        return result


@pytest.fixture
def questions(monkeypatch):
    """The questions of all steps but the first."""
    mode = Questions()

    def wrap(owner, name, wrapper):
        original = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *given, **named: wrapper(original, *given, **named))

    def advance(original, loop, fetcher):
        if loop.trainer.global_step == 0:
            return original(loop, fetcher)
        mode.put_on_device(list(loop.trainer.lightning_module.state_dict(keep_vars=True).values()))
        with mode, mode.listening(True):
            return original(loop, fetcher)

    def handler(original, *given, **named):
        batch = original(*given, **named)
        mode.put_on_device(batch)
        return batch

    def to_tensor(original, module, value, name):
        if not isinstance(value, torch.Tensor):
            mode.ask(f"logs the number {name}")
        return original(module, value, name)

    def barrier(original, *given, **named):
        mode.ask("barrier")
        return original(*given, **named)

    def beside(original, stream, device, work):  # in its own stream only the batch is waited for
        with mode.listening(False):
            return original(stream, device, work)

    def read_later(original, stream, value):
        def read():
            with mode.listening(False):
                return value.item()

        return read

    def reader(name):
        def read(original, tensor, *given):
            if id(tensor) in mode.on_device:
                mode.ask(name)
            return original(tensor, *given)

        return read

    for name in ("cpu", "numpy", "tolist"):
        wrap(torch.Tensor, name, reader(name))
    wrap(_TrainingEpochLoop, "advance", advance)
    wrap(LightningModule, "_apply_batch_transfer_handler", handler)
    wrap(LightningModule, "_LightningModule__to_tensor", to_tensor)
    wrap(torch.distributed, "barrier", barrier)
    wrap(SideStream, "run", beside)
    wrap(SideStream, "read_later", read_later)
    return mode.asked


def trainer(folder, **changes):
    arguments = {
        "max_steps": 4,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 0,
        "limit_val_batches": 0,
        "log_every_n_steps": 100,
        "callbacks": [RunRecord(folder, "", []), DataWait()],
    }
    return Trainer(default_root_dir=folder, **{**arguments, **changes})


def clips(folder):
    return SyntheticKineticsDataModule(
        cache=folder, train_videos=40, val_videos=4, video_frames=8, num_frames=4, global_batch_size=8, num_workers=0
    )


def network():
    return R2Plus1D(widths=(4, 8), blocks=(1, 1), stem_width=4)


def tubelets():
    return TubeletContrast(network(), queue_size=20, tubelets=Tubelets(patch_size=(6, 16)), projection_dim=16)


def two_skeletons():
    networks = [recognition_fakes.gru(), recognition_fakes.gcn()]
    return SkeletonContrast(networks, augmentation=SkeletonAugmentation(num_frames=16), queue_size=20)


METHODS = {
    "tubelet contrast": (tubelets, clips),
    "recognition of clips": (lambda: ActionRecognition(network()), clips),
    "skeleton contrast": (two_skeletons, recognition_fakes.data),
    "recognition of skeletons": (
        lambda: FineTuning([recognition_fakes.gru()], crop=recognition_fakes.crop()),
        recognition_fakes.data,
    ),
}


@pytest.mark.parametrize("method", METHODS)
def test_a_step_asks_nothing(method, tmp_path, questions):
    model, data = METHODS[method]
    run = trainer(tmp_path)
    run.fit(model(), data(tmp_path))
    assert run.global_step > 1 and questions == []


class Asked(DataWait):
    """Writes down what each process asked."""

    def __init__(self, folder, asked):
        super().__init__()
        self.folder, self.asked = folder, asked

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if trainer.global_step == 4:
            (self.folder / f"asked{trainer.global_rank}.json").write_text(json.dumps(self.asked))


@pytest.mark.parametrize("method", ["tubelet contrast", "skeleton contrast"])
def test_a_step_of_two_processes_asks_nothing(method, tmp_path, questions, monkeypatch):
    monkeypatch.setattr(RunRecord, "_later", staticmethod(lambda trainer: True))  # as on GPUs
    model, data = METHODS[method]
    module = data(tmp_path)
    module.prepare_data()
    callbacks = [RunRecord(tmp_path, "", []), Asked(tmp_path, questions)]
    run = trainer(tmp_path, devices=2, strategy="ddp_fork", callbacks=callbacks, max_steps=5)
    run.fit(model(), module)
    assert [json.loads((tmp_path / f"asked{rank}.json").read_text()) for rank in (0, 1)] == [[], []]


def test_questions_are_found(tmp_path, questions, monkeypatch):
    """The test above sees what it looks for."""

    def log_step(module, values, batch_size, shown=(), equal=False):
        for name, value in values.items():
            module.log(f"train/{name}", value, prog_bar=True, batch_size=batch_size)
        module.log("train/number", 1.0, batch_size=batch_size)

    monkeypatch.setattr(Reproducible, "log_step", log_step)
    trainer(tmp_path).fit(tubelets(), clips(tmp_path))
    assert {question.split()[0] for question in questions} == {"aten._local_scalar_dense.default", "logs"}


def test_the_bar_reads_when_it_draws(tmp_path, capsys):
    bar = ProgressBar(terminal=False)
    run = trainer(tmp_path, callbacks=[bar], enable_progress_bar=True)
    run.fit(tubelets(), clips(tmp_path))
    assert not any(name.startswith("train/") for name in run.progress_bar_metrics)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert len(lines) == 4 and all("train/loss" in line and "train/queue_fill" in line for line in lines)
    loss = float(lines[-1].split("train/loss")[1].split()[0])
    assert loss == pytest.approx(float(run.callback_metrics["train/loss"]), rel=1e-3)
