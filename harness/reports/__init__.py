"""Self-contained HTML pages: the report of a run, and the boards as a site."""
