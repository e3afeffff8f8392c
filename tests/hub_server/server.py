"""The server: state that tests set and look at, and the thread that answers."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from tests.hub_server.handler import Handler
from tests.hub_server.store import Contents, MissingError, Repository


@dataclass(frozen=True)
class Account:
    name: str
    organisations: tuple[str, ...] = ()

    def may_write(self, repository: str) -> bool:
        return repository.split("/")[0] in (self.name, *self.organisations)


@dataclass(frozen=True)
class Request:
    """One request that was answered. Header names are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    status: int


@dataclass
class Cut:
    """Break the connection once, after so many bytes of the answer's body."""

    suffix: str
    after: int
    done: bool = False


ACCOUNTS = {"hf_writer": Account("ada", ("lab",)), "hf_reader": Account("bob")}
"""By token."""


@dataclass
class HubServer:
    """Use it as a context manager; it listens on 127.0.0.1 from its making on."""

    folder: Path
    accounts: dict[str, Account] = field(default_factory=lambda: dict(ACCOUNTS))
    large: int = 10_000
    """Size in bytes from which a file goes to large-file storage; parquet and safetensors always do."""

    def __post_init__(self) -> None:
        self.contents = Contents(self.folder / "contents")
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.requests: list[Request] = []
        self.cuts: list[Cut] = []
        self.refused: dict[str, int] = {}
        """Path suffix -> status with which it is answered, once for every entry."""
        self.lock = threading.RLock()
        handler = type("BoundHandler", (Handler,), {"hub": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def __enter__(self) -> HubServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Answer no more."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._http.server_close()
            self._thread.join()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def storage_endpoint(self) -> str:
        """Where large files lie: another origin, as on the Hub, to which a token must not be sent."""
        return f"http://localhost:{self._http.server_address[1]}"

    def environment(self, home: Path, token: str | None = "hf_writer", **more: str) -> dict[str, str]:
        """Settings of a client whose cache and login are in `home`."""
        settings = {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1,localhost",
        }
        return {**settings, **({"HF_TOKEN": token} if token else {}), **more}

    def create(self, name: str, kind: str = "dataset", *, gated: bool = False, private: bool = False) -> Repository:
        repository = Repository(kind, name, self.contents, gated, private)
        self.repositories[kind, name] = repository
        return repository

    def put(self, name: str, files: dict[str, bytes], kind: str = "dataset", title: str = "Add files") -> str:
        """Commit files to `main` of a repository, made if it is missing; returns the commit's hash."""
        repository = self.repositories.get((kind, name)) or self.create(name, kind)
        blobs = {path: self.contents.add(data, large=self.is_large(path, len(data))) for path, data in files.items()}
        return repository.change("main", title, blobs, []).oid

    def repository(self, name: str, kind: str = "dataset") -> Repository:
        try:
            return self.repositories[kind, name]
        except KeyError:
            raise MissingError("RepoNotFound") from None

    def is_large(self, path: str, size: int) -> bool:
        return size > 0 and (size >= self.large or path.endswith((".parquet", ".safetensors")))

    def cut(self, suffix: str, after: int) -> None:
        """Break the next download of a path that ends in `suffix` after so many bytes."""
        self.cuts.append(Cut(suffix, after))

    def refuse(self, suffix: str, status: int) -> None:
        """Answer the next request to a path that ends in `suffix` with a status such as 500 or 429."""
        self.refused[suffix] = status

    def seen(self, method: str, part: str = "") -> list[Request]:
        """Requests so far with that method and `part` somewhere in their path."""
        return [each for each in self.requests if each.method == method and part in each.path]
