"""Messages between processes: a JSON header and raw arrays, over a socket. No pickles.

A message is a header (its length, then JSON) followed by each array as `np.save` writes it. Whatever
arrives is bounded before it is read, because the other end may run a user's code.
"""

from __future__ import annotations

import io
import json
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
_CHUNK = 1 << 20


class ChannelClosedError(Exception):
    """The other end is gone."""


class MalformedMessageError(Exception):
    """What arrived is not a message of this protocol."""


@dataclass(frozen=True)
class Message:
    """A verb, JSON-ready details, and named arrays."""

    what: str
    meta: dict[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


class Channel:
    """One end of a connection. Every call that waits takes a deadline in `time.monotonic` seconds."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def send(self, message: Message, deadline: float | None = None) -> None:
        """Send whole. Raises TimeoutError, ChannelClosedError."""
        packed = {name: _pack(array) for name, array in message.arrays.items()}
        header = {
            "what": message.what,
            "meta": message.meta,
            "arrays": {k: len(v) for k, v in packed.items()},
        }
        encoded = json.dumps(header, allow_nan=False).encode()
        self._send(_LENGTH.pack(len(encoded)) + encoded, deadline)
        for data in packed.values():
            self._send(data, deadline)

    def receive(self, deadline: float | None = None, max_bytes: int = 1 << 36) -> Message:
        """The next message. Raises TimeoutError, ChannelClosedError, MalformedMessageError."""
        (length,) = _LENGTH.unpack(self._receive(_LENGTH.size, deadline))
        if length > _LONGEST_HEADER:
            raise MalformedMessageError("the header is too long")
        try:
            header = json.loads(self._receive(length, deadline))
            what, meta, sizes = str(header["what"]), dict(header["meta"]), dict(header["arrays"])
            if not all(isinstance(size, int) and size >= 0 for size in sizes.values()):
                raise ValueError("array sizes")
        except (ValueError, KeyError, TypeError) as error:
            raise MalformedMessageError(f"the header cannot be read ({error})") from error
        if sum(sizes.values()) > max_bytes:
            raise MalformedMessageError(f"{sum(sizes.values()):,} bytes arrived where at most {max_bytes:,} make sense")
        return Message(what, meta, {name: _unpack(self._receive(size, deadline)) for name, size in sizes.items()})

    def close(self) -> None:
        self._socket.close()

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
        if deadline is None:
            self._socket.settimeout(None)
            return
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._socket.settimeout(remaining)


def _pack(array: np.ndarray) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _unpack(data: bytearray) -> np.ndarray:
    import numpy as np

    try:
        array: np.ndarray = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise MalformedMessageError(f"an array cannot be read ({error})") from error
    return array
