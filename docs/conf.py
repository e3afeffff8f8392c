"""Settings of the documentation and of the leaderboards around it (Sphinx). `harness site build` runs it.

A module in `_extensions/` is an extension: it is loaded without being named here.
"""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

_EXTENSIONS = Path(__file__).parent / "_extensions"
sys.path.insert(0, str(_EXTENSIONS))

project = "reliabench"
author = "The reliabench developers"
copyright = "The reliabench developers"  # the name that Sphinx reads
release = version = installed_version("reliabench")

extensions = ["myst_parser", "sphinx.ext.autodoc", *sorted(path.stem for path in _EXTENSIONS.glob("*.py"))]
exclude_patterns = ["_extensions", "_templates"]
templates_path = ["_templates"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_type_aliases = {name: name for name in ("ArrayLike", "FloatArray", "Counts", "Curves", "Weights", "Tensor")}
autodoc_typehints = "signature"
highlight_language = "text"
html_math_renderer = "mathml"
maximum_signature_line_length = 88

# Pages open from disk: an address names its file, and the search fetches no page to quote from it.
html_context = {"default_mode": "auto"}
html_copy_source = False
html_css_files = ["documentation.css", "site.css"]
html_js_files = ["names.js"]
html_show_search_summary = False
html_show_sourcelink = False
html_sidebars = {"index": [], "leaderboards/**": [], "datasets/**": []}
html_static_path = ["_static"]
html_theme = "pydata_sphinx_theme"
html_title = project
html_theme_options = {
    "navigation_with_keys": True,
    "show_prev_next": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
