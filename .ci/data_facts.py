"""Write what the heads of ``datamodules/*.py`` say of the data sets into the pages of ``docs/data``.

    python .ci/data_facts.py

A page marks the place by ``<!-- facts of datamodules/NAME.py -->`` and ``<!-- end of facts -->``. A test holds the
pages against the heads.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "data"
MARKED = re.compile(r"<!-- facts of (\S+) -->\n.*?<!-- end of facts -->", re.DOTALL)
ITEM = re.compile(r"^(Home page|Papers?|Licence|Annotations|Trees?): ?", re.MULTILINE)
RULER = re.compile(r"=+(  +=+)+")


def main() -> None:
    """Bring all pages up to date."""
    for page in sorted(PAGES.glob("*.md")):
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


def filled(page: str) -> str:
    """A page with the facts as they are now."""
    return MARKED.sub(lambda match: f"<!-- facts of {match[1]} -->\n{facts(match[1])}\n<!-- end of facts -->", page)


def facts(module: str) -> str:
    """The docstring of a module as Markdown."""
    head = ast.get_docstring(ast.parse((ROOT / module).read_text(encoding="utf-8")))
    assert head is not None, f"{module} has no docstring"
    blocks = [_table(block) if RULER.match(block) else _text(block) for block in head.split("\n\n")]
    return "\n\n".join(blocks)


def _table(block: str) -> str:
    """A simple table of reStructuredText."""
    lines = block.splitlines()
    starts = [match.start() for match in re.finditer(r"=+", lines[0])]
    rows = [line for line in lines if not RULER.match(line)]
    cells = [[row[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)] for row in rows]
    head, *body = ["| " + " | ".join(_text(cell) for cell in row) + " |" for row in cells]
    return "\n".join([head, "|" + "---|" * len(starts), *body])


def _text(block: str) -> str:
    """A paragraph, or a list where its lines begin with the name of what they tell."""
    text = block.replace("``", "`")
    text = re.sub(r"(?<![<(])(https?://[^\s,;)]*[^\s,;).])", r"<\1>", text)
    text = re.sub(r"arXiv:(\d{4}\.\d{5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)
    text = re.sub(r"\n +", "\n", text)
    if not ITEM.search(text):
        return text
    items = re.split(r"\n(?=(?:Home page|Papers?|Licence|Annotations|Trees?):)", text)
    return "\n".join(
        re.sub(r"\n(?=.)", "\n  ", ITEM.sub(r"- **\1**: ", item)) if ITEM.match(item) else f"{item}\n" for item in items
    )


if __name__ == "__main__":
    main()
