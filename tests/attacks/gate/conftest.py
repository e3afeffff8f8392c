from __future__ import annotations

from tests.boards.conftest import checkout
from tests.boards.gate.conftest import judged_in_this_process, repository, template

__all__ = ["checkout", "judged_in_this_process", "repository", "template"]
