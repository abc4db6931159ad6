"""Small weights that ship with the package: trained on synthetic shapes, for demos, tests and documentation only.

``benchmarks/embedded_weights.py`` trains and writes them, and the list of what they are.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_modules.weights.catalogue.entry import Entry
from lightning_modules.weights.importers.importer import PublishedNetwork

FOLDER = Path(__file__).parent.parent / "embedded"
LIST = FOLDER / "embedded.json"


def _entry(name: str, facts: Mapping[str, Any]) -> Entry:
    return Entry(
        f"{name}.safetensors",
        facts["architecture"],
        PublishedNetwork(facts["arguments"]),
        method=facts["method"],
        data=f"{facts['data']}: trained on synthetic shapes, for demos only",
        page=f"lightning fit --config {facts['config']}",
        url=None,
        sha256=facts["sha256"],
        licence="that of this package",
        format="safetensors",
        reported={facts["metric"]: facts["value"]},
        shipped=FOLDER / f"{name}.safetensors",
    )


ENTRIES: Mapping[str, Entry] = {name: _entry(name, facts) for name, facts in json.loads(LIST.read_text()).items()}
