"""From an exception to the one line that tells its user what to change."""

import difflib
import importlib
import inspect
import re
import typing
from pathlib import Path
from typing import Any, NamedTuple

from lightning_fabric.utilities.exceptions import MisconfigurationException

from configs import Config, line_of

OUR_PACKAGES = ("lightning_modules", "datamodules", "callbacks", "configs")
ROOT = Path(__file__).parents[1]
LOST = re.compile(r"Connection (?:closed|reset) by (?:remote )?peer|remote process exited", re.IGNORECASE)
"""What gloo and NCCL say where a process has ended."""


class UsageError(ValueError):
    """A wrong key, class or value on the command line or in a config."""


class _Complaint(NamedTuple):
    """A line of jsonargparse's tree of reasons, the keys and classes above it, and the types that it asks for."""

    text: str
    keys: list[str]
    classes: list[str]
    expected: list[str]

    @property
    def owner(self) -> str:
        """Name of the innermost class."""
        return self.classes[-1].rpartition(".")[2]


def explain(error: Exception) -> str | None:
    """One line for an error that its user can mend; None for a mistake of a program, which keeps its traceback.

    Ours to explain are: errors of files and devices, Lightning's MisconfigurationException, a checkpoint of another
    model, the loss of another process, and ValueErrors that code outside of the installed libraries raised, also inside
    a worker process.
    """
    text = str(error)
    if isinstance(error, RuntimeError) and "Error(s) in loading state_dict" in text:
        return (
            "the checkpoint does not fit this config's model: give another --run_dir, or start a new run from it by "
            f"model.weights ({_short(text)})"
        )
    if isinstance(error, RuntimeError) and (lost := LOST.search(text)):
        return (
            f"another process of this run is gone ({lost[0]}): what it or SLURM said last tells why; the same command "
            "goes on from the last checkpoint"
        )
    if isinstance(error, OSError):
        files = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return f"{error.strerror}: {' -> '.join(files)}" if error.strerror and files else _short(text)
    if isinstance(error, MisconfigurationException):
        return _short(text)
    if isinstance(error, ValueError):
        if text.startswith("Does not validate against any of the Union subtypes"):
            return _deepest(text).text  # jsonargparse's wrapping of what a constructor refused
        if "in DataLoader worker process" in text:
            files = re.findall(r'File "([^"]+)"', text)
            return text.strip().splitlines()[-1].partition(": ")[2] if files and _ours(files[-1]) else None
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        if frame is not None and _ours(frame.tb_frame.f_code.co_filename):
            return _short(text)
    return None


def boil_down(message: str, options: list[str], arguments: list[str], files: list[Config]) -> str:
    """Turn a message of jsonargparse into one line with the nearest right key or class.

    Args:
        message: a tree of reasons over many lines.
        options: all keys that the command takes, such as ``trainer.max_steps``.
        arguments: those of the command line.
        files: the configs that were read; the line is told where one of them sets what is wrong.

    Returns:
        One line.
    """
    complaint = _deepest(message)
    text, key, wrong = complaint.text, ".".join(complaint.keys), complaint.keys[-1] if complaint.keys else ""
    if found := re.fullmatch(r"Subcommand '\w+' does not accept option '(.+)'", text):
        wrong = found[1].rpartition(".")[2]
        text = f"no key '{found[1]}'{_near(found[1], options)}"
    elif found := re.fullmatch(r"unrecognized arguments: (\S+).*", text):
        wrong = found[1].removeprefix("--").partition("=")[0]
        text = f"no key '{wrong}'{_near(wrong, options)}" if found[1].startswith("--") else f"stray value '{wrong}'"
    elif found := re.fullmatch(r"Option '(.+)' is not accepted", text):
        wrong = found[1]
        text = f"{complaint.owner} has no argument '{wrong}'{_near(wrong, _arguments(complaint.classes[-1]))}"
    elif found := re.fullmatch(r"the following arguments are required: (.+)", text):
        wrong, names = "", [name.rpartition(".")[2] for name in found[1].split(", ")]
        if complaint.classes:
            text = f"{complaint.owner} needs {', '.join(f'--{key}.{name}' for name in names)}"
            key = ""
        else:
            classes = " and ".join(f"--{name} CLASS" for name in names)
            text = f"no {' and no '.join(names)} given: name a --config, or give {classes}"
    elif found := re.fullmatch(r"Expected a <class '(.+)'>\. Got value: (.*)", text):
        text = f"'{found[2]}' is not of type {found[1]}"
    elif found := re.fullmatch(r"Expected a typing\.Literal\[(.+)\]\. Got value: (.*)", text):
        text = f"'{found[2]}' is none of: {found[1]}"
    elif re.match(r"'[\w-]+' codec can't decode", text):
        text = "takes a class, not a file of weights; those have arguments of their own, such as --model.weights"
    elif found := re.match(
        r"module '.*' has no attribute '|No module named '|Expected a dot import path string: (.*)", text
    ):
        wrong = found[1] or complaint.classes.pop()
        text = f"no class '{wrong}'{_near(wrong, _classes(complaint, message))}"
    elif complaint.expected:
        given = re.search(r"Given value: (.*)", message)
        text = f"'{given[1] if given else ''}' is none of: {', '.join(complaint.expected)}"
        if given and given[1] == "None":
            # jsonargparse makes a text of a null that is given to an argument of an argument.
            text += "; a null for an argument's argument has to stand in a config"
    place = None
    if wrong and not any(wrong in argument for argument in arguments):
        place = line_of(wrong, files)
    return ": ".join(part for part in (place, key, _short(text)) if part)


def _deepest(message: str) -> _Complaint:
    """The most deeply nested reason: the others only say that a value is not None, or not a list either."""
    above: list[tuple[int, str, str]] = []
    found: list[_Complaint] = []
    for line in message.splitlines():
        text = line.strip()
        if not text:
            continue
        indent = len(line) - len(line.lstrip(" "))
        while above and above[-1][0] >= indent:
            above.pop()
        if text.startswith("- "):
            indent, text = indent + 1, text[2:]
        if key := re.match(r'Parser key "([^"]+)":\s*', text):
            above.append((indent, "key", key[1]))
            text = text[key.end() :]
        elif name := re.match(r"Problem with given class_path '([^']+)':\s*", text):
            above.append((indent, "class", name[1]))
            text = text[name.end() :]
        if text and not text.startswith(
            ("Subtypes:", "Errors:", "Given value", "Does not validate", "Expected a path")
        ):
            keys, classes = ([value for _, kind, value in above if kind == wanted] for wanted in ("key", "class"))
            found.append(_Complaint(text, keys, classes, []))
    if not found:
        return _Complaint(_short(message), [], [], [])
    depth = max(len(one.keys) + len(one.classes) for one in found)
    found = [one for one in found if len(one.keys) + len(one.classes) == depth]
    types = [one.text for one in found if re.fullmatch(r"Expected a (<class '.*'>|typing\.Literal\[.*\])", one.text)]
    names = [re.sub(r"^Expected a (<class '|typing\.Literal\[)|'>$|\]$", "", text) for text in types]
    telling = [one for one in found if one.text not in types]
    # Of a union's classes, those that were not asked for only say so.
    telling.sort(key=lambda one: " does not correspond to a subclass of " in one.text)
    return telling[0] if telling else found[0]._replace(expected=[name for name in names if name != "NoneType"])


def _near(name: str, names: list[str]) -> str:
    """The nearest of the right names, compared as a whole or by their last part."""
    last = {other.rpartition(".")[2]: other for other in reversed(names)}
    near = difflib.get_close_matches(name, names, n=1) or [
        last[match] for match in difflib.get_close_matches(name.rpartition(".")[2], last, n=1, cutoff=0.5)
    ]
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there are: {', '.join(sorted(names))}" if 0 < len(names) <= 20 else "; --help lists all"


def _find(class_path: str) -> Any:  # noqa: ANN401 - whatever stands there
    module, _, name = class_path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _arguments(class_path: str) -> list[str]:
    """Names of a class's arguments, and of its parents' as far as it passes others on to them."""
    names: list[str] = []
    for parent in inspect.getmro(_find(class_path)):
        if "__init__" in vars(parent):
            parameters = inspect.signature(vars(parent)["__init__"]).parameters
            names += parameters
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
                break
    return [name for name in dict.fromkeys(names) if name not in ("self", "args", "kwargs")]


def _classes(complaint: _Complaint, message: str) -> list[str]:
    """Names of the imported classes that would fit where the complaint is about."""
    if complaint.classes:
        # An argument of a class: its annotation says which.
        hint = typing.get_type_hints(_find(complaint.classes[-1]).__init__)[complaint.keys[-1]]
        waiting = [part for part in (hint, *typing.get_args(hint)) if isinstance(part, type)]
    else:
        subtypes = re.search("Subtypes: (.*)", message)
        paths = re.findall(r"(?:\w+\.)+[A-Z]\w*", subtypes[1]) if subtypes else []
        waiting = [_find(path) for path in paths]
    names = set()
    while waiting:
        fitting = waiting.pop()
        waiting += type.__subclasses__(fitting)
        if fitting is not type(None) and not fitting.__name__.startswith("_") and not inspect.isabstract(fitting):
            names.add(fitting.__name__)
    return sorted(names)


def _ours(filename: str) -> bool:
    if filename.startswith("<"):
        return False
    path = Path(filename)
    if "site-packages" not in path.parts and "dist-packages" not in path.parts:
        return not path.is_relative_to(Path(inspect.__file__).parent)
    return path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in OUR_PACKAGES


def _short(text: str, length: int = 500) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[:length]} ..."
