"""Pages: one template with data, styles and scripts inside, so that a file opens from disk and loads nothing.

A page is made of a template that extends `base.html`, and of views (`harness.tracks.views`), which `views.html` sets as
markup and `assets/page.js` draws from the page's data. `data.summary`, `data.views`: what else a page knows goes beside.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from harness.storage import fill_template
from harness.tracks.views import View

_HERE = Path(__file__).parent
TEMPLATES, ASSETS, VENDOR = _HERE / "templates", _HERE / "assets", _HERE / "vendor"
TABLES = ("dataTables.min.js",)
CHARTS = ("d3.min.js", "plot.umd.min.js")
"""Scripts of `vendor/`, in the order in which they are loaded."""
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def fill_page(
    template: str,
    *,
    views: Sequence[View] = (),
    data: Mapping[str, Any] | None = None,
    libraries: Sequence[str] = (),
    parts: Sequence[str] = (),
    **values: object,
) -> str:
    """A self-contained page. It carries the chart library only where something is drawn.

    libraries: further files of `vendor/`. parts: further files of `assets/`, styles and scripts.
    """
    drawn = bool(parts) or any(view.template in ("chart", "thresholds") for view in views)
    loaded = (*(CHARTS if drawn else ()), *TABLES, *libraries)
    content = {**(data or {}), "views": [_content(view) for view in views if _scripted(view)]}
    numbers = iter(range(len(views)))
    return fill_template(
        TEMPLATES / template,
        style="".join(_assets(".css", parts)),
        scripts=[_text(VENDOR / name) for name in loaded] + _assets(".js", parts),
        data=script_json(content),
        # The number of a view among those of the data; None where the markup is all of it.
        views=[(view, next(numbers) if _scripted(view) else None) for view in views],
        **values,
    )


def script_json(value: object) -> str:
    """JSON that may stand in a script element: no tag, no entity, no line separator; NaN and infinities are null."""
    written = partial(json.dumps, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        text = written(value, default=_plain)
    except (ValueError, TypeError):  # a number that JSON does not have, or a key
        text = written(_finite(value))
    for character, escape in _UNSAFE.items():
        text = text.replace(character, escape)
    return text


def _content(view: View) -> dict[str, Any]:
    """A view as the script reads it."""
    content = {"template": view.template, **_plain(view)}
    if "units" in content:
        content["units"] = [_plain(unit) for unit in content["units"]]
    for holder, name in [(content, "columns"), *((unit, "listed") for unit in content.get("units", ()))]:
        if name in holder:
            holder[name] = {column: _packed(values) for column, values in holder[name].items()}
    return content


def _packed(values: Sequence[Any]) -> Any:
    """A column of few different words as these words and which of them each is; any other as it is."""
    words = dict.fromkeys(value for value in values if isinstance(value, str))
    if len(values) < 4 * max(1, len(words)) or any(not isinstance(value, str) for value in values):
        return values
    number = {word: place for place, word in enumerate(words)}
    return {"of": list(words), "at": [number[value] for value in values]}


def _scripted(view: View) -> bool:
    return view.template in ("chart", "thresholds")


def _plain(value: Any) -> dict[str, Any]:
    """A record or a mapping as a dictionary; what is in it stays as it is, since there may be a great many numbers."""
    if is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _finite(value: Any) -> Any:
    if is_dataclass(value):
        value = _plain(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


def _assets(suffix: str, parts: Sequence[str]) -> list[str]:
    """Of all pages, and of this one."""
    return [_text(ASSETS / name) for name in (f"page{suffix}", *(each for each in parts if each.endswith(suffix)))]


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
