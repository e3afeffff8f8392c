"""What the tests of this room share: method files, and a method client without a process of its own."""

import textwrap

import numpy as np

from harness.execution.channel import Message
from harness.execution.method_process import _reported
from harness.execution.worker import _answer, _Host
from harness.methods.discovery import find_method
from harness.spec.kinds import kind_of


def write(folder, source, name="method.py"):
    """A method file; the usual import stands above the source unless it begins with one."""
    source = textwrap.dedent(source)
    if not source.lstrip().startswith(("import ", "from ")):
        source = "from harness import confidence_score, explainer\n" + source
    path = folder / name
    path.write_text(source)
    return path


class InProcess:
    """A MethodClient that runs the worker's own code in this process: the same answers, without its start."""

    def __init__(self, target, scratch):
        found = find_method(str(target))
        self.spec, self.state = found.spec, None
        self._host = _Host(scratch)
        source = {"source": np.frombuffer(found.source, dtype=np.uint8)}
        host = kind_of(found.spec.task).host
        meta = {"module": found.module, "symbol": found.spec.symbol, "host": host, "device": "cpu"}
        self.call("load", source, seed=0, meta=meta)

    def call(self, what, arrays, *, seed, meta=None):
        reply = _answer(self._host, Message(what, {**(meta or {}), "seed": seed}, dict(arrays)))
        if reply.what != "answer":
            raise _reported(reply)
        return dict(reply.arrays)
