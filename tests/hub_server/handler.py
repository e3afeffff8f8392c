"""What each endpoint of the Hub answers. Routes and headers are those that huggingface_hub and datasets use."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.hub_server import answers
from tests.hub_server.store import Blob, MissingError, Repository

if TYPE_CHECKING:
    from tests.hub_server.server import Account, HubServer

_REPO = r"/api/(?P<kind>model|dataset|space)s/(?P<name>[^/]+/[^/]+)"
_FILES = r"/(?:(?P<kind>dataset|space)s/)?(?P<name>[^/]+/[^/]+)"
_CHUNK = 1 << 16


class RefusedError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        self.query = dict(parse_qsl(parts.query))
        self.status = 0
        self._body_read = False
        try:
            self._dispatch(parts.path)
        except RefusedError as error:
            self._send_error(error.status, error.message, error.code)
        except MissingError as error:
            self._send_error(404, "Not found", error.kind)
        finally:
            self._record(parts.path)

    def _dispatch(self, path: str) -> None:
        for suffix in [each for each in self.hub.refused if path.endswith(each)]:
            raise RefusedError(self.hub.refused.pop(suffix), "the test asked for it")
        for method, pattern, action in ROUTES:
            found = re.fullmatch(pattern, path) if self.command in method else None
            if found:
                fields = {name: unquote(value) for name, value in found.groupdict().items() if value is not None}
                action(self, **fields)
                return
        raise RefusedError(404, f"no endpoint answers {self.command} {path}")

    def _record(self, path: str) -> None:
        from tests.hub_server.server import Request

        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.hub.lock:
            self.hub.requests.append(Request(self.command, unquote(path), self.query, headers, self.status))

    # Who asks

    def account(self) -> Account | None:
        """None without a token. Refuses one that nobody has."""
        given = self.headers.get("Authorization", "")
        if not given:
            return None
        token = given.removeprefix("Bearer ").strip()
        if token not in self.hub.accounts:
            raise RefusedError(401, "Invalid credentials in Authorization header")
        return self.hub.accounts[token]

    def readable(self, name: str, kind: str = "model") -> Repository:
        account = self.account()
        repository = self.hub.repository(name, kind)
        known = account is not None and (account.may_write(name) or account.name in repository.readers)
        if repository.private and not known:
            raise RefusedError(404 if account else 401, "Repository not found", "RepoNotFound")
        if repository.gated and not known:
            raise RefusedError(403 if account else 401, f"Access to dataset {name} is restricted.", "GatedRepo")
        return repository

    def writable(self, name: str, kind: str = "model", *, pull_request: bool = False) -> Repository:
        """Anybody who is logged in may open a pull request; only members may write."""
        account = self.known_account()
        repository = self.hub.repository(name, kind)
        if not account.may_write(name) and not pull_request:
            raise RefusedError(403, f"you don't have the rights to write to {name}")
        return repository

    def known_account(self) -> Account:
        account = self.account()
        if account is None:
            raise RefusedError(401, "Invalid username or password.")
        return account

    # Answers

    def body(self) -> bytes:
        self._body_read = True
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(iter(self._chunk, b""))
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline(), 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def send_json(self, value: Any, status: int = 200, **headers: str) -> None:
        data = json.dumps(value).encode()
        self.send_head(status, {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers})
        if self.command != "HEAD":
            self.wfile.write(data)

    def send_head(self, status: int, headers: dict[str, str]) -> None:
        if not self._body_read and self.command in ("POST", "PUT"):
            self.body()
        self.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send_error(self, status: int, message: str, code: str) -> None:
        headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
        self.send_json({"error": message}, status, **headers)

    def send_content(self, blob: Blob, headers: dict[str, str]) -> None:
        """The whole content, or what the header Range asks for."""
        start = 0
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start = int(asked[1])
            if start >= blob.size:
                raise RefusedError(416, f"there are {blob.size} bytes")
        end = min(int(asked[2]) + 1, blob.size) if asked and asked[2] else blob.size
        more = {"Content-Range": f"bytes {start}-{end - 1}/{blob.size}"} if asked else {}
        length = {"Content-Length": str(end - start), "Accept-Ranges": "bytes"}
        self.send_head(206 if asked else 200, {**headers, **length, **more})
        if self.command != "HEAD":
            self._stream(self.hub.contents.path(blob.sha256), start, end)

    def _stream(self, path: Path, start: int, end: int) -> None:
        cut = next((each for each in self.hub.cuts if not each.done and self._asked_for(each.suffix)), None)
        with path.open("rb") as stream:
            stream.seek(start)
            left = end - start if cut is None else min(cut.after, end - start)
            while left and (data := stream.read(min(_CHUNK, left))):
                self.wfile.write(data)
                left -= len(data)
        if cut is not None:
            cut.done = True
            self.close_connection = True
            self.connection.shutdown(2)

    def _asked_for(self, suffix: str) -> bool:
        return unquote(urlsplit(self.path).path).endswith(suffix) or self.query.get("name", "").endswith(suffix)


def whoami(handler: Handler) -> None:
    account = handler.known_account()
    orgs = [{"name": name, "type": "org"} for name in account.organisations]
    handler.send_json({"type": "user", "id": account.name, "name": account.name, "orgs": orgs, "auth": {}})


def create_repo(handler: Handler) -> None:
    asked = json.loads(handler.body())
    account = handler.known_account()
    name = f"{asked.get('organization') or account.name}/{asked['name']}"
    kind = asked.get("type") or "model"
    if not account.may_write(name):
        raise RefusedError(
            403, f"You don't have the rights to create a {kind} under the namespace {name.split('/')[0]}"
        )
    url = f"{handler.hub.endpoint}/{'' if kind == 'model' else kind + 's/'}{name}"
    with handler.hub.lock:
        if (kind, name) in handler.hub.repositories:
            handler.send_json({"error": "You already created this repo", "url": url, "name": name}, 409)
            return
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        handler.hub.create(name, kind, private=private)
    handler.send_json({"url": url, "name": name, "id": name})


def validate_yaml(handler: Handler) -> None:
    handler.known_account()
    problems = answers.card_problems(json.loads(handler.body())["content"])
    errors = [{"message": problem} for problem in problems]
    handler.send_json({"errors": errors, "warnings": []}, 400 if errors else 200)


def preupload(handler: Handler, kind: str, name: str, revision: str) -> None:
    repository = handler.writable(name, kind, pull_request="create_pr" in handler.query)
    files = repository.commit(revision).files
    asked = json.loads(handler.body())["files"]
    handler.send_json({"files": [answers.upload_mode(handler.hub, each, files) for each in asked]})


def commit(handler: Handler, kind: str, name: str, revision: str) -> None:
    as_pull_request = "create_pr" in handler.query
    repository = handler.writable(name, kind, pull_request=as_pull_request or revision.startswith("refs/pr/"))
    lines = [json.loads(line) for line in handler.body().splitlines()]
    header = next(line["value"] for line in lines if line["key"] == "header")
    parent = header.get("parentCommit")
    if parent and parent != repository.commit(revision).oid:
        raise RefusedError(412, "A commit has happened since. Please refresh and try again.")
    added: dict[str, Blob] = {}
    for line in lines:
        value = line["value"]
        if line["key"] == "file":
            added[value["path"]] = handler.hub.contents.add(base64.b64decode(value["content"]))
        elif line["key"] == "lfsFile":
            if not handler.hub.contents.has(value["oid"]):
                raise RefusedError(400, f"the content of {value['path']} was not uploaded")
            added[value["path"]] = handler.hub.contents.large(value["oid"])
    folders = [line["value"]["path"].rstrip("/") + "/" for line in lines if line["key"] == "deletedFolder"]
    deleted = [line["value"]["path"] for line in lines if line["key"] == "deletedFile"] + folders
    pull = None
    if as_pull_request:
        pull = repository.open_pull_request(header["summary"], handler.known_account().name, revision)
        revision = pull.ref
    made = repository.change(revision, header["summary"], added, deleted)
    handler.send_json(answers.commit_made(handler.hub.endpoint, repository, made, pull))


def lfs_batch(handler: Handler, name: str, kind: str = "model") -> None:
    """Where to send large files; nothing to do for those that are there."""
    handler.known_account()
    handler.hub.repository(name, kind)
    objects = []
    for asked in json.loads(handler.body())["objects"]:
        ticket = f"{handler.hub.storage_endpoint}/storage/{asked['oid']}?signature={secrets.token_hex(8)}"
        missing = not handler.hub.contents.has(asked["oid"])
        objects.append({**asked, **({"actions": {"upload": {"href": ticket}}} if missing else {})})
    handler.send_json({"transfer": "basic", "objects": objects})


def receive(handler: Handler, oid: str) -> None:
    """A large file, checked against the hash under which it was announced."""
    arriving = handler.hub.folder / f"arriving-{secrets.token_hex(8)}"
    arriving.write_bytes(handler.body())
    if handler.hub.contents.adopt(arriving) != oid:
        raise RefusedError(400, "the content has another hash")
    handler.send_json({})


def stored(handler: Handler, oid: str) -> None:
    if not handler.hub.contents.has(oid):
        raise RefusedError(403, "no such object")
    blob = handler.hub.contents.large(oid)
    handler.send_content(blob, {"ETag": f'"{oid}"', "Content-Type": "application/octet-stream"})


def resolve(handler: Handler, name: str, revision: str, path: str, kind: str = "model") -> None:
    repository = handler.readable(name, kind)
    found = repository.commit(revision)
    try:
        blob = repository.blob(revision, path)
    except MissingError as error:
        handler.send_json({"error": "Entry not found"}, 404, **{"X-Error-Code": error.kind, "X-Repo-Commit": found.oid})
        return
    facts = {"X-Repo-Commit": found.oid, "ETag": f'"{blob.etag}"'}
    if not blob.large:
        handler.send_content(blob, {**facts, "Content-Type": "text/plain"})
        return
    linked = {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(blob.size)}
    where = f"{handler.hub.storage_endpoint}/storage/{blob.sha256}?name={path}"
    handler.send_head(302, {**facts, **linked, "Location": where, "Content-Length": "0"})


def repo_info(handler: Handler, kind: str, name: str, revision: str = "main") -> None:
    repository = handler.readable(name, kind)
    handler.send_json(answers.repository(repository, repository.commit(revision)))


def refs(handler: Handler, kind: str, name: str) -> None:
    handler.send_json(answers.refs(handler.readable(name, kind)))


def commits(handler: Handler, kind: str, name: str, revision: str) -> None:
    handler.send_json(answers.history(handler.readable(name, kind), revision))


def tree(handler: Handler, kind: str, name: str, revision: str, path: str = "") -> None:
    files = handler.readable(name, kind).commit(revision).files
    listed = answers.tree(files, path, recursive=handler.query.get("recursive", "").lower() == "true")
    if path and not listed:
        raise MissingError("EntryNotFound")
    handler.send_json(listed)


def paths_info(handler: Handler, kind: str, name: str, revision: str) -> None:
    files = handler.readable(name, kind).commit(revision).files
    body = handler.body()
    if handler.headers.get("Content-Type", "").startswith("application/json"):
        asked = json.loads(body)["paths"]
    else:
        asked = [value for key, value in parse_qsl(body.decode()) if key == "paths"]
    handler.send_json(answers.paths(files, asked))


def discuss(handler: Handler, kind: str, name: str) -> None:
    repository = handler.writable(name, kind, pull_request=True)
    asked = json.loads(handler.body())
    if not asked["pullRequest"]:
        raise RefusedError(501, "plain discussions are not served")
    pull = repository.open_pull_request(asked["title"], handler.known_account().name)
    handler.send_json({"num": pull.num})


def discussion(handler: Handler, kind: str, name: str, num: str) -> None:
    repository = handler.readable(name, kind)
    if int(num) not in repository.pulls:
        raise RefusedError(404, "Discussion not found")
    handler.send_json(answers.discussion(repository, repository.pulls[int(num)]))


def merge(handler: Handler, kind: str, name: str, num: str) -> None:
    repository = handler.writable(name, kind)
    if int(num) not in repository.pulls:
        raise RefusedError(404, "Discussion not found")
    if repository.pulls[int(num)].status == "merged":
        raise RefusedError(409, "This pull request is merged already")
    repository.merge(int(num))
    handler.send_json(answers.merged(handler.known_account().name))


ROUTES: tuple[tuple[tuple[str, ...], str, Callable[..., None]], ...] = (
    (("GET",), r"/api/whoami-v2", whoami),
    (("POST",), r"/api/repos/create", create_repo),
    (("POST",), r"/api/validate-yaml", validate_yaml),
    (("POST",), _REPO + r"/preupload/(?P<revision>[^/]+)", preupload),
    (("POST",), _REPO + r"/commit/(?P<revision>[^/]+)", commit),
    (("POST",), _FILES + r"\.git/info/lfs/objects/batch", lfs_batch),
    (("PUT",), r"/storage/(?P<oid>[0-9a-f]{64})", receive),
    (("GET", "HEAD"), r"/storage/(?P<oid>[0-9a-f]{64})", stored),
    (("GET", "HEAD"), _FILES + r"/resolve/(?P<revision>[^/]+)/(?P<path>.+)", resolve),
    (("GET",), _REPO, repo_info),
    (("GET",), _REPO + r"/revision/(?P<revision>[^/]+)", repo_info),
    (("GET",), _REPO + r"/refs", refs),
    (("GET",), _REPO + r"/commits/(?P<revision>[^/]+)", commits),
    (("GET",), _REPO + r"/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?", tree),
    (("POST",), _REPO + r"/paths-info/(?P<revision>[^/]+)", paths_info),
    (("POST",), _REPO + r"/discussions", discuss),
    (("GET",), _REPO + r"/discussions/(?P<num>\d+)", discussion),
    (("POST",), _REPO + r"/discussions/(?P<num>\d+)/merge", merge),
)
