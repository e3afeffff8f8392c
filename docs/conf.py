"""Settings of the documentation and of the leaderboards around it (Sphinx)."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "reliabench"
author = "The reliabench developers"
copyright = "The reliabench developers"  # the name that Sphinx reads
release = version = installed_version("reliabench")

extensions = ["myst_parser", "sphinx.ext.autodoc", "markdown_docstrings", "mathml", "metric_pages"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_type_aliases = {name: name for name in ("ArrayLike", "FloatArray", "Counts", "Curves", "Weights", "Tensor")}
autodoc_typehints = "signature"
highlight_language = "text"
html_math_renderer = "mathml"
maximum_signature_line_length = 88

html_context = {"default_mode": "auto"}
html_css_files = ["documentation.css"]
html_static_path = ["_static"]
html_theme = "pydata_sphinx_theme"
html_title = project
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": True,
    "show_prev_next": False,
    "footer_start": ["copyright"],
    "footer_end": [],
}
