"""Settings of the documentation and of the leaderboards around it (Sphinx)."""

from __future__ import annotations

from importlib.metadata import version as installed_version

project = "reliabench"
author = "The reliabench developers"
copyright = "The reliabench developers"  # the name that Sphinx reads
release = version = installed_version("reliabench")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
autodoc_typehints = "signature"

html_theme = "pydata_sphinx_theme"
html_title = project
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": True,
    "show_prev_next": False,
    "footer_start": ["copyright"],
    "footer_end": [],
}
