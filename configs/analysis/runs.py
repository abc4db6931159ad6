"""Runs of ``lightning severe`` that an analysis is made of, under several weights."""

from dataclasses import dataclass
from pathlib import Path

from configs import ConfigError
from configs.analysis.inputs import name_weights
from configs.severe_benchmark.results import RESULT, read_result
from configs.severe_benchmark.runner import Severe, folder_of
from configs.severe_benchmark.settings import check_roots, family, find_settings, read_roots


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

    def accuracies(self, settings: list[str], mode: str, arguments: list[str], folder: str = "") -> dict[str, list[list[float]]]:
        """Top-1 on the test split, in 0..1.

        Args:
            settings: names, such as ``ucf101``.
            mode: ``finetune`` or ``linear``.
            arguments: of ``lightning fit``, before those of all runs.
            folder: of these runs, below that of all.

        Returns:
            For each of the weights, by their name, and each setting, the values of all seeds.

        Raises:
            ConfigError: an argument is wrong.
            ValueError: data are missing, or a run failed.
        """
        of = family(mode, self.embedded)
        if not folder_of(of).is_dir():
            raise ConfigError(f"there are no settings {of}; leave --embedded or --mode out")
        chosen = find_settings(folder_of(of), settings)
        roots = read_roots([text for texts in self.root for text in texts])
        check_roots(roots, chosen)
        found: dict[str, list[list[float]]] = {}
        for weights in name_weights(self.given):
            benchmark = Severe(
                weights, chosen, of, self.seeds, self.out / folder, roots, [*arguments, *self.arguments]
            )
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
