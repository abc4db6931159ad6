"""Runs of ``lightning severe`` that an analysis is made of, under several weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from configs.analysis.inputs import name_weights, open_inputs
from configs.severe_benchmark.results import RESULT, read_result
from configs.severe_benchmark.runner import Severe, folder_of
from configs.severe_benchmark.settings import Setting, check_roots, family, find_settings, read_roots
from lightning_modules.metrics.nearest_neighbours import nearest_neighbour_top1

Mode = Literal["finetune", "linear", "neighbours"]


@dataclass(frozen=True)
class Runs:
    """Runs what is not there yet, and reads what it came to; finished runs are taken as they are.

    Attributes:
        given: see ``name_weights``.
        embedded: whether on the small embedded data.
        seeds: how many: 0, 1, ...
        out: folder of the runs.
        root: where the data are, see ``read_roots``.
        arguments: further ones of ``lightning fit``.
    """

    given: list[str]
    embedded: bool
    seeds: int
    out: Path
    root: list[list[str]]
    arguments: list[str]

    @property
    def names(self) -> list[str]:
        """Of the weights."""
        return [one.name for one in name_weights(self.given)]

    def accuracies(
        self, settings: list[str], mode: Mode, arguments: list[str], folder: str = ""
    ) -> dict[str, list[list[float]]]:
        """Top-1 on the test split, in 0..1.

        Args:
            settings: names, such as ``ucf101``.
            mode: ``finetune``, ``linear``, or ``neighbours``, which trains nothing.
            arguments: of ``lightning fit``, before those of all runs.
            folder: of these runs, below that of all.

        Returns:
            For each of the weights, by their name, and each setting, the values of all seeds.

        Raises:
            ConfigError: an argument is wrong.
            ValueError: data are missing, or a run failed.
        """
        of = family("linear" if mode == "linear" else "finetune", self.embedded)
        chosen = find_settings(folder_of(of), settings)
        roots = read_roots([text for texts in self.root for text in texts])
        check_roots(roots, chosen)
        arguments = [*arguments, *self.arguments]
        if mode == "neighbours":
            by_setting = [self._neighbours(one, roots, arguments) for one in chosen]
            return {name: [[one[name]] for one in by_setting] for name in self.names}
        found: dict[str, list[list[float]]] = {}
        for weights in name_weights(self.given):
            benchmark = Severe(weights, chosen, of, self.seeds, self.out / folder, roots, arguments)
            if benchmark.run(benchmark.jobs, all_needed=True):
                raise ValueError(f"not all runs of {weights.name} are finished; the same command goes on")
            values: list[list[float]] = [[] for _ in chosen]
            for job in benchmark.jobs:
                result = read_result(job.folder / RESULT)
                if result is None or "test/top1" not in result.metrics:
                    raise ValueError(f"{job.folder}: no test/top1 was logged; take a setting of action recognition")
                values[chosen.index(job.setting)].append(result.metrics["test/top1"])
            found[weights.name] = values
        return found

    def _neighbours(self, setting: Setting, roots: dict[str, dict[str, str]], arguments: list[str]) -> dict[str, float]:
        """Top-1 of weighted nearest neighbours among the training videos, of each of the weights by their name."""
        if missing := setting.missing(roots):
            raise ValueError(missing)
        own = [f"--data.{key}={Path(path).expanduser()}" for key, path in setting.paths(roots).items()]
        own += [] if setting.samples is None else [f"--data.samples={setting.samples}"]
        inputs = open_inputs(name_weights(self.given), str(setting.config), [*own, *arguments], None, None)
        loaders = inputs.data.probe_dataloaders()
        if loaders is None:
            raise ValueError(f"{setting.name}: no labelled videos are held out")
        bank, queries = (inputs.features(loader) for loader in loaders)
        return {
            model.name: nearest_neighbour_top1(one.feature, one.label, other.feature, other.label)
            for model, one, other in zip(inputs.models, bank, queries, strict=True)
        }
