"""The folder that predictions of many files are written to: what is done stays done."""

import io
import json
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from callbacks.pictures import write_picture
from callbacks.prediction_picture import draw_prediction
from callbacks.prediction_video import annotate
from callbacks.run_folder import write_whole
from configs.prediction.predictors import Predictor, holds_depth
from datamodules.prepare_ntu import progress_bar
from datamodules.readers.depth import PREFIX
from datamodules.sample_list import find_videos
from datamodules.writers.video import write_video
from lightning_modules.prediction import Prediction

LINES, SETTINGS, BROKEN = "predictions.jsonl", "settings.json", "broken.txt"


class Input(NamedTuple):
    """One file, or folder of depth maps.

    Attributes:
        name: below the folder that was given, with ``/`` between the parts.
        path: of it.
    """

    name: str
    path: Path

    @property
    def state(self) -> list[int]:
        """Size and time of its last change: others mean that it is another file."""
        status = self.path.stat()
        return [status.st_size, status.st_mtime_ns]


class Options(NamedTuple):
    """How predictions are made and shown.

    Attributes:
        hop: seconds from one clip to the next; half a clip by default.
        top: classes that are listed and drawn.
        min_score: detections below are not drawn.
        video: write annotated videos instead of pictures.
    """

    hop: float | None
    top: int
    min_score: float
    video: bool


class Outcome(NamedTuple):
    """What became of the inputs.

    Attributes:
        lines: of ``predictions.jsonl``, in the order of the inputs.
        broken: ``path: reason`` of each file that cannot be read.
        earlier: how many had been done before.
    """

    lines: list[dict[str, Any]]
    broken: list[str]
    earlier: int


def find_inputs(given: Path, predictor: Predictor, out: Path | None) -> list[Input]:
    """List what a predictor can look at.

    Args:
        given: a file, or a folder that is searched with all below it.
        predictor: tells which files.
        out: what lies in this folder is left out.

    Raises:
        ValueError: there is none.
    """
    kind = predictor.depth
    if given.is_file():
        if not predictor.suffixes:
            raise ValueError(f"{given}: {predictor.checkpoint.path} takes folders of depth maps; give such a folder")
        return [Input(given.name, given)]
    if kind is not None and holds_depth(given, kind):
        return [Input(given.name, given)]
    if not given.exists():
        raise ValueError(f"{given}: no such file or folder")
    names = list(find_videos(given, predictor.suffixes))
    if kind is not None:
        first = f"{PREFIX[kind]}00000001.png"
        names += sorted(file.parent.relative_to(given).as_posix() for file in given.rglob(first))
    found = [Input(name, given / name) for name in names]
    if out is not None:
        found = [one for one in found if out.resolve() not in one.path.resolve().parents]
    if not found:
        wanted = ", ".join(sorted(predictor.suffixes)) or f"folders with {first}"
        raise ValueError(f"{given}: holds no {predictor.noun} ({wanted}) for {predictor.checkpoint.path}")
    return found


def predict_all(predictor: Predictor, inputs: Sequence[Input], out: Path, options: Options) -> Outcome:
    """Look at all inputs that are not done yet; each leaves a line, its features and a picture or video.

    Raises:
        ValueError: the folder holds predictions of another checkpoint or with other options.
        OSError: a file cannot be written.
    """
    _check_settings(predictor, out, options)
    known = _read_lines(out / LINES)
    done = {one.name: known[one.name] for one in inputs if one.name in known and _is_same(known[one.name], one)}
    # Lines of other inputs stay: a folder may be looked at part by part.
    kept = [line for name, line in known.items() if name in done or name not in {one.name for one in inputs}]
    write_whole(out / LINES, "".join(_packed(line) for line in kept).encode())
    broken: list[str] = []
    lines = dict(done)
    console = Console(stderr=True)
    with progress_bar(console.is_terminal) as bar, (out / LINES).open("a", encoding="utf-8") as file:
        task = bar.add_task("predict", total=len(inputs), completed=len(done))
        for one in inputs:
            if one.name in done:
                continue
            bar.update(task, description=one.name[-40:], refresh=True)
            try:
                line = _predict(predictor, one, out, options)
            except (ValueError, FileNotFoundError) as error:
                broken.append(broken_reason(one, error))
                bar.console.print(
                    f"cannot be read: {broken[-1]}", style="red", markup=False, highlight=False, soft_wrap=True
                )
            else:
                file.write(_packed(line))
                file.flush()
                lines[one.name] = line
            bar.update(task, advance=1, refresh=True)
    if broken:
        write_whole(out / BROKEN, "".join(f"{line}\n" for line in broken).encode(errors="surrogateescape"))
    else:
        (out / BROKEN).unlink(missing_ok=True)
    return Outcome([lines[one.name] for one in inputs if one.name in lines], broken, len(done))


def _predict(predictor: Predictor, one: Input, out: Path, options: Options) -> dict[str, Any]:
    """Look at one input, and write all but its line."""
    state = one.state
    prediction = predictor.predict(one.path, options.hop)
    names = predictor.checkpoint.class_names
    line: dict[str, Any] = {"name": one.name, "path": str(one.path), "seconds": round(prediction.seconds, 3)}
    if prediction.found is not None:
        line["detections"] = [
            {"class": names[found.label], "label": found.label, "score": round(found.score, 4)}
            | {"start": round(found.start, 3), "end": round(found.end, 3)}
            for found in prediction.found
        ]
    elif prediction.whole is not None and prediction.scores is not None:
        line["top"] = _top(prediction.whole, names, options.top)
        line["clips"] = [
            {"start": round(start, 3), "end": round(end, 3), "top": _top(scores, names, options.top)}
            for (start, end), scores in zip(prediction.times.tolist(), prediction.scores, strict=True)
        ]
    line["features"] = f"features/{one.name}.npz"
    packed = io.BytesIO()
    np.savez(packed, features=prediction.features.astype(np.float32), times=prediction.times)
    write_whole(out / line["features"], packed.getbuffer())
    if prediction.whole is not None or prediction.found is not None:
        line |= _show(predictor, one, prediction, out, options)
    return line | {"state": state}


def _show(predictor: Predictor, one: Input, prediction: Prediction, out: Path, options: Options) -> dict[str, str]:
    """Write the picture or the video; returns its key and place for the line."""
    names = predictor.checkpoint.class_names
    if not options.video:
        place = f"pictures/{one.name}.png"
        strip = predictor.strip(one.path)
        write_picture(out / place, draw_prediction(one.name, strip, prediction, names, options.top, options.min_score))
        return {"picture": place}
    place = f"videos/{one.name}.mp4"
    fps, frames = predictor.moving(one.path)
    shown = annotate(frames, fps, prediction, names, options.top, options.min_score)
    part = out / f"{place}.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    write_video(part, shown, Fraction(fps).limit_denominator(1001), quality=23, preset="veryfast", container="mp4")
    part.replace(out / place)
    return {"video": place}


def _top(scores: np.ndarray, names: Sequence[str], count: int) -> list[dict[str, Any]]:
    order = np.argsort(-scores, kind="stable")[:count].tolist()
    return [{"class": names[label], "label": label, "score": round(float(scores[label]), 4)} for label in order]


def _check_settings(predictor: Predictor, out: Path, options: Options) -> None:
    """Keep what the folder's predictions are made with.

    Raises:
        ValueError: those that are there are made with something else.
    """
    checkpoint = predictor.checkpoint
    wanted = {
        "checkpoint": [str(checkpoint.path.resolve()), *Input("", checkpoint.path).state],
        "class_names": checkpoint.class_names,
        **options._asdict(),
    }
    file = out / SETTINGS
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        write_whole(file, json.dumps(wanted).encode())
        return
    except ValueError:
        found = {}
    if found != wanted:
        other = [name for name in wanted if not isinstance(found, dict) or found.get(name) != wanted[name]]
        raise ValueError(
            f"{out}: holds predictions made with another {', '.join(other)}; give another --out, or remove it"
        )


def _read_lines(file: Path) -> dict[str, dict[str, Any]]:
    """Lines of an earlier run, by name; one that it was killed in is left out."""
    lines: dict[str, dict[str, Any]] = {}
    if file.exists():
        for text in file.read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
                lines[line["name"]] = line
            except (ValueError, KeyError, TypeError):
                continue
    return lines


def _is_same(line: dict[str, Any], one: Input) -> bool:
    try:
        return bool(line.get("state") == one.state)
    except OSError:
        return False


def _packed(line: dict[str, Any]) -> str:
    return f"{json.dumps(line, ensure_ascii=False)}\n"


def broken_reason(one: Input, error: Exception) -> str:
    """``path: what is wrong``, in one line."""
    text = f"{one.path}: {error.strerror}" if isinstance(error, OSError) else " ".join(str(error).split())
    return text if text.startswith(os.fspath(one.path)) else f"{one.path}: {text}"
