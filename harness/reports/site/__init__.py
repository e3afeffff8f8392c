"""`harness site build`: boards, methods and data sets as pages of the documentation (Sphinx, `docs/`)."""
