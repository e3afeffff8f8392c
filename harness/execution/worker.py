"""The method worker: the only process that runs a user's code. It sees no more of the test data than it is sent.

It answers messages over one socket. Every answer is checked by the process that asked; whatever else
this process does cannot become a result.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import linecache
import os
import shutil
import socket
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.execution.channel import Channel, ChannelClosedError, Message
from harness.execution.importing import import_slow

if TYPE_CHECKING:
    import numpy as np

    from harness.spec.result import Passes
    from harness.tracks.base import Host, Verb


_NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "Cannot allocate memory")
"""How torch and the system say it."""
_MAY = "a method reads its own folder, installed packages and what --allow-read names, and writes into its temporary folder"

_BESIDE = (
    "a method works in a temporary folder, which is its home (~) too, so name a file beside it as "
    'Path(__file__).parent / "name", and another by its whole path, with --allow-read'
)


def main(fd: int, args: list[str]) -> None:
    """Serve until the other end closes. `args`: memory limit in GiB, threads, and the fence. Works in its current folder.

    What it may read comes first over the connection, because it can be longer than a command line.
    """
    from harness.execution import guard

    scratch, memory, threads, fence = Path.cwd(), float(args[0]), int(args[1]), args[2]
    if fence != "bubblewrap":  # which ends all its processes itself
        guard.supervise()
    channel = Channel(socket.socket(fileno=fd))
    borders = channel.receive().meta
    if fence == "landlock":
        from harness.execution.fence import enclose

        enclose(scratch, borders["device"], borders["readable"], borders["hidden"])
    import_slow(["torch"])
    import torch

    torch.set_num_threads(threads)
    guard.limit_files()
    guard.limit_memory(memory)
    guard.fence(scratch, tuple(borders["hidden"]))
    work = scratch / "work"
    host = _Host(scratch, partial(_begin_anew, work))
    channel.send(Message("ready"))
    while True:
        try:
            message = channel.receive()
        except ChannelClosedError:
            return
        with contextlib.suppress(OSError):  # told where it matters
            _work_in(work)
        answer = _answer(host, message)
        _flush()  # who asked copies what was printed, and ends this process without a warning
        channel.send(answer)


def _work_in(folder: Path) -> None:
    """A method may have left its working folder, or removed it."""
    folder.mkdir(exist_ok=True)
    os.chdir(folder)


def _begin_anew(folder: Path) -> None:
    """Before a method is loaded: an empty folder to work in, and the memory of what was loaded before."""
    gc.collect()
    shutil.rmtree(folder, ignore_errors=True)
    _work_in(folder)


class _Host:
    """Loads the user's method, as often as it is told to; everything else is done by the verbs of its kind."""

    def __init__(self, scratch: Path, begin_anew: Callable[[], None] = lambda: None) -> None:
        self._scratch, self._begin_anew = scratch, begin_anew
        self._host: Host | None = None
        self.verbs: dict[str, Verb] = {"load": self.load}

    def load(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Import the method: plug-ins and baselines by name, files from the hashed copy of their source. Nothing is left of
        what its module held before."""
        from harness.spec.errors import EvaluatesItselfError
        from harness.spec.kinds import load

        self._host, self.verbs = None, {"load": self.load}
        if meta["module"] is None or not meta["module"].startswith("harness."):  # the harness's own keep nothing
            sys.modules.pop(meta["module"] or "method", None)
        self._begin_anew()
        if meta["module"]:
            module = importlib.import_module(meta["module"])
        else:
            path = self._scratch / "method.py"
            path.write_bytes(arrays["source"].tobytes())
            spec = importlib.util.spec_from_file_location("method", path)
            if spec is None or spec.loader is None:
                raise ImportError("the method's file cannot be loaded")
            module = importlib.util.module_from_spec(spec)
            sys.modules["method"] = module
            # Where the user wrote it, so that weights beside it are found; what runs is the hashed copy.
            module.__file__ = meta.get("path", str(path))
            try:
                spec.loader.exec_module(module)
            except EvaluatesItselfError:  # a script has come to its end, as far as it makes the method
                if not hasattr(module, meta["symbol"]):
                    raise
        self._host = load(meta["host"])(getattr(module, meta["symbol"]), meta["device"])
        self.verbs |= self._host.verbs
        return {}

    def passes(self) -> Passes | None:
        """What the method passed through networks since this was last asked."""
        return None if self._host is None else self._host.passes()


def _answer(host: _Host, message: Message) -> Message:
    """Do what is asked; turn any exception into a reply that names its status."""
    from harness.methods.answers import UnusableAnswerError
    from harness.methods.outputs import NotOfferedError

    try:
        _seed(message.meta.get("seed", 0))
        host.passes()  # those of a call that failed are not this one's
        arrays = host.verbs[message.what](message.meta, dict(message.arrays))
        passes = host.passes()
        return Message("answer", {} if passes is None else {"passes": passes.canonical()}, arrays)
    except NotOfferedError as error:
        return _problem("not-applicable", str(error.args[0]), error)
    except UnusableAnswerError as error:
        return _problem("invalid", str(error), error)
    except BaseException as error:  # a method may also raise SystemExit or KeyboardInterrupt
        if isinstance(error, MemoryError) or any(words in _text(error) for words in _NO_MEMORY):
            return _problem("out-of-memory", "it asked for more memory than its limit", error)
        return _problem("failed", _sentence(error), error)


def _flush() -> None:
    """Bring what the method has printed into the log; it may have closed or replaced these streams."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _problem(status: str, reason: str, error: BaseException) -> Message:
    detail = "".join(traceback.format_exception(error))[-4000:]
    return Message("problem", {"status": status, "reason": reason, "detail": detail})


def _sentence(error: BaseException) -> str:
    """`ValueError: text (line 7)`: the last line of the user's own file that took part."""
    from harness.execution.guard import NotAllowedError

    text = " ".join(_text(error).split())[:300]
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith("method.py")
    ]
    where = f" (line {lines[-1]})" if lines else ""
    if isinstance(error, PermissionError) and error.filename is not None:
        text = f"the method tried to open {os.fsdecode(error.filename)}"
        where += f"; {_MAY}"
    elif "Permission denied" in text and not isinstance(error, NotAllowedError):
        where += f"; {_MAY}"
    elif isinstance(error, FileNotFoundError) and error.filename is not None:
        text = f"the method opened {os.fsdecode(error.filename)}, which does not exist"
        where += f"; {_BESIDE}"
    if ("NoneType" in text and _uses_gradients(error)) or "does not require grad" in text:
        where += "; gradients are known only of inputs that ask for them: call inputs.requires_grad_(True) first"
    if isinstance(error, AttributeError):
        where += _what_there_is(error)
    if isinstance(error, ModuleNotFoundError):
        where += "; a method is one file and sees installed packages only"
    return f"{type(error).__name__}: {text}{where}" if text else f"{type(error).__name__}{where}"


def _uses_gradients(error: BaseException) -> bool:
    """Whether an error comes from a method that reads `.grad`, which is None where nobody asked for gradients."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if each.filename.endswith("method.py")]
    return bool(frames) and any(".grad" in line for line in linecache.getlines(frames[-1].filename))


def _what_there_is(error: AttributeError) -> str:
    """The names of what the harness hands to methods, where one was asked for that it does not have."""
    from harness.spec.errors import did_you_mean

    if error.name is None or not type(error.obj).__module__.startswith("harness."):
        return ""
    known = [name for name in dir(error.obj) if not name.startswith("_")]
    near = did_you_mean(error.name, known)
    return "" if hasattr(type(error.obj), error.name) else f"; {near}{' ' if near else ''}it has {', '.join(known)}"


def _text(error: BaseException) -> str:
    """What an exception says; nothing where a user's own class fails even to say it."""
    try:
        return str(error)
    except BaseException:
        return ""


def _seed(seed: int) -> None:
    import random

    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
