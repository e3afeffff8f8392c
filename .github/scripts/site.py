"""Write the boards as a few static pages: `site.py LEADERBOARDS FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.reports.site import write_site

if __name__ == "__main__":
    write_site(Path(sys.argv[1]), Path(sys.argv[2]))
