"""The unit process: a `UnitServer` at the end of a channel."""

from __future__ import annotations

import math
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import asdict

from harness.execution.channel import Channel, ChannelClosedError, Message
from harness.execution.claims import SetApartError
from harness.execution.guard import adopt_orphans, hide_memory
from harness.execution.job import Job
from harness.execution.unit_server import UnitServer
from harness.spec.errors import UsageError
from harness.spec.run import Unit
from harness.storage import IntegrityError, StorageError

_SECONDS_BETWEEN_REPORTS = 0.5


def main(fd: int, args: list[str]) -> None:
    """Serve one run: first its job, then a check of its method, if that is asked for, and units one by one, until the other end closes.

    SIGTERM ends it so that another worker goes on with its unit, from what is kept of it, and does not take it for lost.
    """
    adopt_orphans()
    hide_memory()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    channel = Channel(socket.socket(fileno=fd))
    try:
        description = channel.receive()
        with UnitServer(Job.of(description.meta, description.arrays["source"].tobytes())) as server:
            with suppress(Exception):  # whatever it is, who needs it is told
                server.get_ready()
            while True:
                channel.send(_reply(server, channel.receive(), channel))
    except ChannelClosedError:
        return


class _Reports:
    """Tells the other end how far a unit has come, not too often."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._last = -math.inf

    def send(self, what: str, share: float) -> None:
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_REPORTS:
            self._last = now
            self._channel.send(Message("progress", {"what": what, "share": share}))


def _reply(server: UnitServer, request: Message, channel: Channel) -> Message:
    """The end of a unit, or of the check. What cannot go on here is sent as a verb of its own."""
    try:
        if request.what == "check":
            for check in server.check():
                channel.send(Message("checked", asdict(check)))
            return Message("done")
        unit, in_company = Unit.of(request.meta["unit"]), request.meta["in_company"]
        return Message("done", server.run(unit, _Reports(channel).send, in_company=in_company).canonical())
    except (UsageError, IntegrityError, StorageError, SetApartError) as error:
        return Message("stop", {"kind": type(error).__name__, "reason": str(error)})
