"""Messages between processes: a JSON header and raw arrays, over a socket. No pickles.

A message is a header (its length, then JSON that names each array's dtype and shape) followed by the
arrays' bytes. Whatever arrives is bounded before it is read, because the other end may run a user's code.
"""

from __future__ import annotations

import json
import math
import select
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_LENGTH = struct.Struct(">Q")
_LONGEST_HEADER = 16_000_000
_LONGEST_WAIT = 1e6  # seconds: more does not fit into the system's timers
_CHUNK = 1 << 20
_MOST_DIMENSIONS = 32  # of any numpy
_KINDS = "biufc"


class ChannelClosedError(Exception):
    """The other end is gone."""


class MalformedMessageError(Exception):
    """What arrived is not a message of this protocol."""


@dataclass(frozen=True)
class Message:
    """A verb, JSON-ready details, and named arrays of numbers."""

    what: str
    meta: dict[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


class Channel:
    """One end of a connection. Every call that waits takes a deadline in `time.monotonic` seconds."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def send(self, message: Message, deadline: float | None = None) -> None:
        """Send whole. Raises TimeoutError, ChannelClosedError; TypeError for arrays of anything but numbers."""
        import numpy as np

        arrays = {name: np.asarray(array, order="C") for name, array in message.arrays.items()}
        for name, array in arrays.items():
            if array.dtype.kind not in _KINDS:
                raise TypeError(f"{name} has dtype {array.dtype}; only numbers are sent")
        header = {
            "what": message.what,
            "meta": message.meta,
            "arrays": {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()},
        }
        encoded = json.dumps(header, allow_nan=False).encode()
        self._send(_LENGTH.pack(len(encoded)) + encoded, deadline)
        for array in arrays.values():
            self._send(array.reshape(-1).view(np.uint8).data, deadline)

    def receive(self, deadline: float | None = None, max_bytes: int = 1 << 36) -> Message:
        """The next message; its arrays are its own. Raises TimeoutError, ChannelClosedError, MalformedMessageError."""
        (length,) = _LENGTH.unpack(self._receive(_LENGTH.size, deadline))
        if length > _LONGEST_HEADER:
            raise MalformedMessageError("the header is too long")
        encoded = self._receive(length, deadline)
        try:
            header = json.loads(encoded)
            what, meta = str(header["what"]), dict(header["meta"])
            layouts = {name: _layout(*layout) for name, layout in dict(header["arrays"]).items()}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise MalformedMessageError(f"the header cannot be read ({type(error).__name__})") from error
        total = sum(size for *_, size in layouts.values())
        if total > max_bytes:
            raise MalformedMessageError(f"{total:,} bytes arrived where at most {max_bytes:,} make sense")
        return Message(what, meta, {name: self._array(*layout, deadline) for name, layout in layouts.items()})

    def readable(self, seconds: float) -> bool:
        """Whether anything arrives within so many seconds; the end of the connection counts."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(max(0.0, min(seconds, _LONGEST_WAIT)) * 1000))

    def close(self) -> None:
        self._socket.close()

    def _array(self, dtype: np.dtype[Any], shape: tuple[int, ...], size: int, deadline: float | None) -> np.ndarray:
        import numpy as np

        data = self._receive(size, deadline)
        try:
            return np.ndarray(shape, dtype, buffer=data)
        except (ValueError, OverflowError) as error:  # a zero beside lengths that no array has
            raise MalformedMessageError("an array has an impossible shape") from error

    def _send(self, data: bytes | memoryview, deadline: float | None) -> None:
        view = memoryview(data)
        while view:
            self._wait(deadline)
            try:
                view = view[self._socket.send(view[:_CHUNK]) :]
            except TimeoutError:
                raise
            except OSError as error:
                raise ChannelClosedError(str(error)) from error

    def _receive(self, size: int, deadline: float | None) -> bytearray:
        data = bytearray()
        while len(data) < size:
            self._wait(deadline)
            try:
                part = self._socket.recv(min(size - len(data), _CHUNK))
            except TimeoutError:
                raise
            except OSError as error:
                raise ChannelClosedError(str(error)) from error
            if not part:
                raise ChannelClosedError("the connection ended")
            data += part
        return data

    def _wait(self, deadline: float | None) -> None:
        remaining = None if deadline is None else min(deadline - time.monotonic(), _LONGEST_WAIT)
        if remaining is not None and remaining <= 0:
            raise TimeoutError
        try:
            self._socket.settimeout(remaining)
        except OSError as error:  # closed by another thread of ours
            raise ChannelClosedError(str(error)) from error


def _layout(dtype: str, shape: list[int]) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Dtype, shape and bytes of an array as its header tells them. Raises ValueError, TypeError."""
    import numpy as np

    plain = np.dtype(str(dtype))
    if plain.kind not in _KINDS or plain.subdtype is not None:
        raise ValueError("dtype")
    if len(shape) > _MOST_DIMENSIONS or not all(isinstance(length, int) and length >= 0 for length in shape):
        raise ValueError("shape")
    return plain, tuple(shape), math.prod(shape) * plain.itemsize
