"""What the documentation's build adds: files outside of docs/ that its pages link to, and equations as MathML.

The pages link as they do on GitHub, such as to ``../configs/tubelet.yaml``. Equations are converted here, so that
browsers show them without a script or a network.
"""

import html
import os
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "repository"  # of the site, for files outside of docs/
LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
EQUATION = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
PAGES = ["configs/README.md"]  # outside of docs/, shown as pages


def on_files(files: Files, config: Any) -> Files:  # noqa: ANN401 - of mkdocs
    """Add what pages link to outside of docs/."""
    wanted = set(PAGES)
    for source in [*(ROOT / "docs").rglob("*.md"), *(ROOT / page for page in PAGES)]:
        for _, target, _ in LINK.findall(source.read_text(encoding="utf-8")):
            path = _inside(source, target)
            if path is not None and not path.startswith("docs/"):
                wanted.add(path)
    for path in sorted(wanted):
        files.append(File.generated(config, f"{FOLDER}/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:  # noqa: ANN401 - of mkdocs
    """Point links to where the site has their files."""
    uri = page.file.src_uri
    source = ROOT / (uri.removeprefix(f"{FOLDER}/") if uri.startswith(f"{FOLDER}/") else f"docs/{uri}")

    def moved(match: re.Match[str]) -> str:
        path = _inside(source, match[2])
        if path is None:
            return match[0]
        site = path.removeprefix("docs/") if path.startswith("docs/") else f"{FOLDER}/{path}"
        return match[1] + os.path.relpath(site, os.path.dirname(uri) or ".") + match[3]

    return LINK.sub(moved, markdown)


def on_page_content(content: str, **_: Any) -> str:  # noqa: ANN401 - of mkdocs
    """Write equations as MathML."""
    return EQUATION.sub(
        lambda match: convert(html.unescape(match[3]).strip(), display="inline" if match[2] == "(" else "block"),
        content,
    )


def _inside(source: Path, target: str) -> str | None:
    """Path below the repository that a link of a page leads to; None where there is no such file."""
    if "://" in target:
        return None
    path = Path(os.path.normpath(source.parent / target))
    return path.relative_to(ROOT).as_posix() if path.is_file() and path.is_relative_to(ROOT) else None
