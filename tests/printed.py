"""What README and the pages of the documentation print: methods, snippets, files, commands and output, all of which is run."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXTS = {
    str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")))
}
OTHERS = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted(ROOT.glob("datasets/*/README.md"))]
"""Texts of which commands alone are tried."""

BLOCK = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DECLARE = re.compile(r"@?\b(?:confidence_score|query_strategy|explainer|attribution_metric)\(")
INLINE = re.compile(r"`(harness [^`]+)`")


def blocks(name: str) -> list[tuple[str, str]]:
    """Language and content of every block of a text, in order; directives of Sphinx are none."""
    return [(kind, text) for kind, text in BLOCK.findall(TEXTS[name]) if not kind.startswith("{")]


BLOCKS = [block for name in TEXTS for block in blocks(name)]
METHODS = [text for kind, text in BLOCKS if kind == "python" and DECLARE.search(text)]
SNIPPETS = {
    name: found
    for name in TEXTS
    if (found := [text for kind, text in blocks(name) if kind == "python" and not DECLARE.search(text)])
}
"""Of each text, in order: a later one may go on with what an earlier one made."""
TOML = [text for kind, text in BLOCKS if kind == "toml"]
FILES = [text for text in TOML if text.startswith("schema_version")]
OUTPUTS = [(name, text) for name in TEXTS for kind, text in blocks(name) if not kind and text.startswith("$ ")]
COMMANDS = [
    line
    for kind, text in (*BLOCKS, *(block for path in OTHERS for block in BLOCK.findall(path.read_text())))
    for line in text.splitlines()
    if not kind and line.startswith("harness ")
]
NAMED = [line for text in TEXTS.values() for line in INLINE.findall(text.replace("\n", " ").replace(r"\|", "|"))]
"""Commands that sentences and tables name."""


def declared(text: str) -> list[str]:
    """Names of the methods that a block of code declares."""
    names = re.findall(r"^(?:def|class) (\w+)", text, re.MULTILINE)
    return names or re.findall(r"^(\w+) = explainer", text, re.MULTILINE)


def method_before(name: str, output: str) -> str:
    """The last method that a text prints before a block of output."""
    before = TEXTS[name].partition(output)[0]
    return [text for kind, text in BLOCK.findall(before) if kind == "python" and DECLARE.search(text)][-1]
