"""A file server on 127.0.0.1 that misbehaves on request, for tests of downloads. It stops with its `with` block."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

import pytest

Act = Callable[["Handler", "Resource"], None]
"""What the server does with one GET request, in place of serving the file."""


@dataclass
class Resource:
    """A file: its acts are played in turn, one for each GET; afterwards it is served as it should be."""

    data: bytes
    type: str = "application/octet-stream"
    etag: str | None = '"one"'
    ranges: bool = True
    acts: list[Act] = field(default_factory=list)
    head: bool = True


@dataclass(frozen=True)
class Request:
    """What a client has asked."""

    method: str
    path: str
    headers: dict[str, str]

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


class FileServer:
    """`put` files, then look at the `requests` for them."""

    def __init__(self) -> None:
        self.resources: dict[str, Resource] = {}
        self.requests: list[Request] = []
        self.over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.files = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def put(self, path: str, data: bytes, *acts: Act, **facts: object) -> str:
        """Offer a file at a path; returns its address."""
        self.resources[path] = Resource(data, acts=list(acts), **facts)  # type: ignore[arg-type]
        return f"{self.address}{path}"

    def gets(self, path: str) -> list[Request]:
        """The GET requests for a path so far."""
        return [request for request in self.requests if request.method == "GET" and request.path == path]

    def __enter__(self) -> FileServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        resource = self._note()
        if resource is None or not resource.head:
            self.answer(404, b"", body=False)
        else:
            self.answer(200, resource.data, resource, body=False)

    def do_GET(self) -> None:
        resource = self._note()
        try:
            if resource is None:
                self.answer(404, b"nothing here")
            elif resource.acts:
                resource.acts.pop(0)(self, resource)
            else:
                self.serve(resource)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client has given up, as it should

    def serve(self, resource: Resource) -> None:
        """The file, or the part of it that was asked for."""
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        proof, size = self.headers.get("If-Range"), len(resource.data)
        if wanted is None or not resource.ranges or (proof is not None and proof != resource.etag):
            self.answer(200, resource.data, resource)
            return
        start = int(wanted[1]) if wanted[1] else max(0, size - int(wanted[2]))
        end = min(size, int(wanted[2]) + 1) if wanted[1] and wanted[2] else size
        if start >= size:
            self.answer(416, b"", resource, {"Content-Range": f"bytes */{size}"})
        else:
            self.answer(206, resource.data[start:end], resource, {"Content-Range": f"bytes {start}-{end - 1}/{size}"})

    def answer(
        self,
        code: int,
        data: bytes,
        resource: Resource | None = None,
        headers: dict[str, str] | None = None,
        *,
        body: bool = True,
    ) -> None:
        self.send_response(code)
        self.head_lines(resource, {"Content-Length": str(len(data)), **(headers or {})})
        if body:
            self.wfile.write(data)

    def head_lines(self, resource: Resource | None, headers: dict[str, str]) -> None:
        known = {"Content-Type": resource.type, "ETag": resource.etag} if resource is not None else {}
        for name, value in {**known, **headers}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    def nap(self, seconds: float) -> None:
        """Wait, but not beyond the end of the test."""
        self.files.over.wait(seconds)

    @property
    def files(self) -> FileServer:
        return self.server.files  # type: ignore[attr-defined, no-any-return]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _note(self) -> Resource | None:
        path, headers = self.path, {name.lower(): value for name, value in self.headers.items()}
        self.files.requests.append(Request(self.command, path, headers))
        return self.files.resources.get(path)


def status(code: int, body: bytes = b"no", **headers: str) -> Act:
    """Answer with a status, e.g. `status(503, **{"Retry-After": "1"})`."""
    return lambda handler, _: handler.answer(code, body, None, headers)


def page(body: bytes = b"<!DOCTYPE html><title>Log in</title>", type: str = "text/html; charset=utf-8") -> Act:
    """Answer with a web page, as hosts do that want a login first."""
    return lambda handler, _: handler.answer(200, body, None, {"Content-Type": type})


def other(data: bytes) -> Act:
    """Serve another content under the same name."""
    return lambda handler, resource: handler.answer(200, data, resource)


def cut(after: int) -> Act:
    """Promise all, send the first bytes (of what was asked for), and hang up."""

    def act(handler: Handler, resource: Resource) -> None:
        start = _start(handler, resource)
        length = len(resource.data) - start
        handler.send_response(206 if start else 200)
        told = {"Content-Range": f"bytes {start}-{len(resource.data) - 1}/{len(resource.data)}"} if start else {}
        handler.head_lines(resource, {"Content-Length": str(length), **told})
        handler.wfile.write(resource.data[start : start + after])
        handler.close_connection = True

    return act


def endless(data: bytes) -> Act:
    """Send bytes without saying how many, and hang up."""

    def act(handler: Handler, resource: Resource) -> None:
        handler.send_response(200)
        handler.head_lines(resource, {"Connection": "close"})
        handler.wfile.write(data)
        handler.close_connection = True

    return act


def stalled(after: int, seconds: float) -> Act:
    """Promise all, send the first bytes, and then nothing for a while."""

    def act(handler: Handler, resource: Resource) -> None:
        handler.send_response(200)
        handler.head_lines(resource, {"Content-Length": str(len(resource.data))})
        handler.wfile.write(resource.data[:after])
        handler.wfile.flush()
        handler.nap(seconds)
        handler.close_connection = True

    return act


def slow(piece: int, pause: float) -> Act:
    """Serve all (of what was asked for), but piece by piece."""

    def act(handler: Handler, resource: Resource) -> None:
        start = _start(handler, resource)
        handler.send_response(206 if start else 200)
        told = {"Content-Range": f"bytes {start}-{len(resource.data) - 1}/{len(resource.data)}"} if start else {}
        handler.head_lines(resource, {"Content-Length": str(len(resource.data) - start), **told})
        for first in range(start, len(resource.data), piece):
            handler.wfile.write(resource.data[first : first + piece])
            handler.wfile.flush()
            handler.nap(pause)

    return act


def _start(handler: Handler, resource: Resource) -> int:
    wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    return int(wanted[1]) if wanted and handler.headers.get("If-Range") in (None, resource.etag) else 0


def wait_until(true: Callable[[], bool], seconds: float = 240.0) -> None:
    """Wait for something that another thread or process does; fails if it does not come."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        yield running
