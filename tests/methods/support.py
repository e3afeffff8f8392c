"""What the tests of this room share: method files, and a method client without a process of its own."""

import textwrap

from harness.methods.discovery import find_method
from tests.in_process import MethodHere


def write(folder, source, name="method.py"):
    """A method file; the usual import stands above the source unless it begins with one."""
    source = textwrap.dedent(source)
    if not source.lstrip().startswith(("import ", "from ")):
        source = "from harness import confidence_score, explainer\n" + source
    path = folder / name
    path.write_text(source)
    return path


class InProcess(MethodHere):
    """A method client from what a user would name, loaded at once."""

    def __init__(self, target, scratch):
        super().__init__(find_method(str(target)), scratch=scratch)
        self.load()
