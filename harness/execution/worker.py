"""The method worker: the only process that runs a user's code. It never sees a label of test data.

It answers messages over one socket. Every answer is checked by the process that asked; whatever else
this process does cannot become a result.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import socket
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.execution.channel import Channel, ChannelClosedError, Message

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np


_NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "Cannot allocate memory")
"""How torch and the system say it."""


def main(fd: int, args: list[str]) -> None:
    """Serve until the other end closes. `args`: memory limit in GiB, threads, and folders that no method may read. Works in its current folder."""
    from harness.execution import guard

    guard.adopt_orphans()
    scratch, memory, threads = Path.cwd(), float(args[0]), int(args[1])
    channel = Channel(socket.socket(fileno=fd))
    import torch

    torch.set_num_threads(threads)
    guard.limit_files()
    guard.limit_memory(memory)
    guard.fence(scratch, tuple(args[2:]))
    host = _Host(scratch)
    channel.send(Message("ready"))
    while True:
        try:
            message = channel.receive()
        except ChannelClosedError:
            return
        channel.send(_answer(host, message))


class UnusableAnswerError(TypeError):
    """A method answered with something that is no array of numbers."""


class _Host:
    """Holds the user's method and what it has learnt."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._definition: Any = None
        self._method: Any = None
        self._network: Any = None
        self._shared: dict[str, np.ndarray] = {}
        self._device = "cpu"

    def load(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Import the method: plug-ins and baselines by name, files from the hashed copy of their source."""
        self._device = meta["device"]
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
            spec.loader.exec_module(module)
        self._definition = getattr(module, meta["symbol"])
        return {}

    def fit(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Begin with a new trained model: build it if it was asked for, and let the method learn."""
        from harness.methods.outputs import LabelledOutputs, Reference

        self._shared = _part(arrays, "shared")
        self._network = _network(meta["network"], _part(arrays, "network"), self._device)
        self._method = self._definition() if isinstance(self._definition, type) else self._definition
        learn: Callable[[Any], None] | None = getattr(self._method, "fit", None)
        if learn is not None:
            network = self._own_network()
            parts = {
                name: LabelledOutputs(_part(arrays, name), self._own_shared(), network, self._device)
                for name in meta["reference"]
            }
            learn(Reference(parts))
        return {}

    def score(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Confidence of each sample, as the method gave it."""
        from harness.methods.outputs import Outputs

        outputs = Outputs(arrays, self._own_shared(), self._own_network(), self._device)
        answer = self._method.score(outputs) if isinstance(self._definition, type) else self._method(outputs)
        return {"confidence": _as_array(answer)}

    def _own_shared(self) -> dict[str, np.ndarray]:
        """Copies: what a method does to them must not reach its later answers."""
        return {name: array.copy() for name, array in self._shared.items()}

    def _own_network(self) -> Any:
        """A copy for each call: changed weights and forgotten hooks must not reach later answers either."""
        return copy.deepcopy(self._network)


def _answer(host: _Host, message: Message) -> Message:
    """Do what is asked; turn any exception into a reply that names its status."""
    from harness.methods.outputs import NotOfferedError

    try:
        _seed(message.meta.get("seed", 0))
        verb = {"load": host.load, "fit": host.fit, "score": host.score}[message.what]
        return Message("answer", arrays=verb(message.meta, dict(message.arrays)))
    except NotOfferedError as error:
        return _problem("not-applicable", str(error.args[0]), error)
    except UnusableAnswerError as error:
        return _problem("invalid", str(error), error)
    except BaseException as error:  # a method may also raise SystemExit or KeyboardInterrupt
        if isinstance(error, MemoryError) or any(words in _text(error) for words in _NO_MEMORY):
            return _problem("out-of-memory", "it asked for more memory than its limit", error)
        return _problem("failed", _sentence(error), error)


def _problem(status: str, reason: str, error: BaseException) -> Message:
    detail = "".join(traceback.format_exception(error))[-4000:]
    return Message("problem", {"status": status, "reason": reason, "detail": detail})


def _sentence(error: BaseException) -> str:
    """`ValueError: text (line 7)`: the last line of the user's own file that took part."""
    text = " ".join(_text(error).split())[:300]
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith("method.py")
    ]
    where = f" (line {lines[-1]})" if lines else ""
    if isinstance(error, ModuleNotFoundError):
        where += "; a method is one file and sees installed packages only"
    return f"{type(error).__name__}: {text}{where}" if text else f"{type(error).__name__}{where}"


def _text(error: BaseException) -> str:
    """What an exception says; nothing where a user's own class fails even to say it."""
    try:
        return str(error)
    except BaseException:
        return ""


def _part(arrays: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """Arrays whose name begins with `name/`, without it."""
    prefix = f"{name}/"
    return {key[len(prefix) :]: value for key, value in arrays.items() if key.startswith(prefix)}


def _network(description: dict[str, Any] | None, weights: dict[str, np.ndarray], device: str) -> Any:
    """The network in evaluation mode, or None where it was not asked for. Without weights, a random one."""
    if description is None:
        return None
    import torch

    from harness.tracks.confidence.networks import build_network

    network = build_network(description["family"], description["classes"])
    if weights:
        network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return network.to(device).eval()


def _as_array(answer: Any) -> np.ndarray:
    import numpy as np
    import torch

    try:
        if isinstance(answer, torch.Tensor):
            answer = answer.detach().cpu()
            array = np.asarray(answer.float() if answer.dtype == torch.bfloat16 else answer)
        else:
            array = np.asarray(answer)
        numbers = array.dtype.kind in "biufc"
    except (ValueError, TypeError):  # a ragged list, a sparse tensor
        numbers = False
    if not numbers:
        raise UnusableAnswerError(f"it returned {type(answer).__name__}, not a tensor or array of numbers")
    return array


def _seed(seed: int) -> None:
    import random

    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
