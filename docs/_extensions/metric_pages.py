"""Pages of metrics, from the facts and docstrings of the code, which are written in Markdown.

`{metrics} KIND` shows every metric of a kind of method, `{docstring} NAME` what the code says of one object. What stands in
`{repository}` is for who reads a page in the repository, where these show nothing: it is left out of what is built.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from itertools import groupby
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from harness import metrics as arrays
from harness.metrics import attribution
from harness.metrics.attribution.localisation import LocalisationMetric
from harness.metrics.facts import MetricFacts
from harness.spec.kinds import kinds, load
from harness.tracks.attribution_metric import judging

JUDGEMENTS: dict[str, Callable[..., Any]] = {
    "power": judging.power,
    "sanity": judging.superiority,
    "sanity_share": judging.share_above,
    "randomisation_effect": judging.paired_effect,
    "half_concordance": judging.concordance_of_halves,
    "seed_concordance": judging.concordance_of_networks,
}


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("metrics", Metrics)
    app.add_directive("docstring", Docstring)
    app.add_directive("repository", Repository)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class Metrics(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # what it shows stands in the code, not in the page
        facts = load(kinds()[self.arguments[0]].metrics)
        judged = [fact for fact in facts if fact.lower_is_better is not None]
        found = []
        for documented, some in groupby(judged, key=lambda fact: source(fact.id)):
            alike = list(some)
            name = documented.__name__ if len(alike) > 1 else alike[0].name
            ids = [f"metric-{fact.id.replace('_', '-')}" for fact in alike]
            found.append(self.section(getattr(documented, "title", name), ids, metric(documented, alike)))
        beside = [f"- `{fact.id}`: {fact.citation}" for fact in facts if fact.lower_is_better is None]
        if beside:
            beside = ["These have no better or worse.", "", *beside]
            found.append(self.section("What scores are read beside", ["beside"], beside))
        return found

    def section(self, title: str, ids: list[str], lines: Iterable[str]) -> nodes.Node:
        body = self.parse_text_to_nodes("\n".join(lines))
        section = nodes.section(
            "", nodes.title(title, title), *body, ids=ids, names=[nodes.fully_normalize_name(title)]
        )
        self.state.document.note_implicit_target(section)
        return section


class Docstring(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()
        module, _, name = self.arguments[0].rpartition(".")
        documented = getattr(import_module(module), name)
        return self.parse_text_to_nodes(f"`{self.arguments[0]}`: " + inspect.cleandoc(documented.__doc__ or ""))


class Repository(SphinxDirective):
    has_content = True

    def run(self) -> list[nodes.Node]:
        return []


def metric(documented: Any, alike: list[MetricFacts]) -> Iterator[str]:
    """What one object of the code computes, which has several ids where it does so in several ways."""
    yield from (*documentation(documented), "")
    yield from (f"| id | {', '.join(f'`{fact.id}`' for fact in alike)} |", "|---|---|")
    yield from (f"| {what} | {value} |" for what, value in rows(alike, documented))


def source(id: str) -> Any:
    """What in the code documents a metric."""
    if id.startswith("tau_"):
        return judging.agreement
    return JUDGEMENTS.get(id) or attribution.METRICS.get(id) or getattr(arrays, id)


def documentation(documented: Any) -> list[str]:
    """Its docstring, and that of the family of metrics that it belongs to."""
    family = documented.__bases__[0] if inspect.isclass(documented) else attribution.MapMetric
    others = () if family in (attribution.MapMetric, LocalisationMetric) else (family,)
    text = "\n\n".join(inspect.cleandoc(each.__doc__ or "") for each in (documented, *others))
    if inspect.isclass(documented):
        constant = "|".join(documented.names_of_constants())
        text = re.sub(rf"\b((?:{constant})(?:, (?:{constant}))*): ", r"**\1**: ", text)
    return text.splitlines()


def rows(alike: list[MetricFacts], documented: Any) -> Iterator[tuple[str, str]]:
    fact, needs = alike[0], dict.fromkeys(need for fact in alike for need in fact.needs)
    yield "direction", "lower is better" if fact.lower_is_better else "higher is better"
    low, high = (number(each) for each in fact.range)
    yield "range", f"{low} to {high}"
    if fact.scale != 1:
        yield "in tables", f"× {fact.scale:g}"
    if fact.criterion and inspect.isclass(documented):
        yield "criterion", fact.criterion
    if needs:
        yield "needs", ", ".join(needs)
    if inspect.isclass(documented):
        defaults = inspect.signature(documented).parameters
        constants = (f"`{name} = {defaults[name].default!r}`" for name in documented.names_of_constants())
        yield "constants", ", ".join(constants)
    yield "source", fact.citation


def number(value: float) -> str:
    if math.isinf(value):
        return "−∞" if value < 0 else "∞"
    return f"{value:.4g}".replace("-", "−")
