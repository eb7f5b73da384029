"""A Hub on loopback: the endpoints that huggingface_hub 2.4.0 uses, and faults on request.

Files that the Hub keeps in LFS are redirected to a storage server, localhost as another host than
127.0.0.1: signed locations, no token, ETags of its own. All other files are redirected to a path of
the Hub.
"""

import base64
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.hub.repositories import LFS_SUFFIXES, Blob, Repository
from tests.hub.state import Fault, Hub

CHUNK = 1 << 16


class _Counted:
    def __init__(self, file: Any, hub: Hub) -> None:
        self.file, self.hub = file, hub

    def write(self, data: bytes) -> int:
        self.file.write(data)
        with self.hub.lock:
            self.hub.wire += len(data)
        return len(data)

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        self.file.close()

    @property
    def closed(self) -> bool:
        return bool(self.file.closed)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub
    is_storage = False

    def setup(self) -> None:
        super().setup()
        self.wfile = _Counted(self.wfile, self.hub)  # type: ignore[assignment]

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        with self.hub.lock:
            self.hub.requests.append((self.command, self.path))
        self.fault = self.hub.fault_for(self.command, self.path)
        if self.fault is not None:
            time.sleep(self.fault.silence)
            if self.fault.status:
                self._answer(self.fault.status, {}, self.fault.headers)
                return
        parts = urlsplit(self.path)
        path = [unquote(part) for part in parts.path.strip("/").split("/")]
        if self.is_storage:
            self._storage(path)
        elif path[:2] == ["api", "models"]:
            self._api(path[2:], parse_qs(parts.query))
        elif path[:2] == ["api", "resolve-cache"]:
            self._regular_file(path)
        elif path[2:3] == ["resolve"]:
            self._resolve(path)
        else:
            self._error(404, "")

    @property
    def token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def _repository(self, name: str) -> Repository | None:
        repository = self.hub.repositories.get(name)
        if repository is None or (
            repository.readers is not None
            and not repository.gated
            and self.token not in repository.readers
        ):
            self._error(401 if not self.token else 404, "RepoNotFound")
            return None
        return repository

    def _commit(self, repository: Repository, revision: str) -> str | None:
        sha = repository.resolve(revision)
        if sha is None:
            self._error(404, "RevisionNotFound")
        return sha

    def _api(self, path: list[str], query: dict[str, list[str]]) -> None:
        name, action, revision = "/".join(path[:2]), path[2:3], "/".join(path[3:]) or "main"
        repository = self._repository(name)
        if repository is None:
            return
        if action == ["preupload"]:
            files = json.loads(self.body)["files"]
            modes = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files
            ]
            if self._may_write(repository):
                self._answer(200, {"files": modes})
        elif action == ["commit"]:
            if self._may_write(repository):
                self._accept(name, repository, revision, asks_pr="create_pr" in query)
        elif (sha := self._commit(repository, revision)) is None:
            return
        elif action == ["tree"]:
            rows = [
                {"type": "file", "path": n, "size": b.size, "oid": b.sha1} | _lfs(n, b, "oid")
                for n, b in repository.commits[sha].items()
            ]
            self._answer(200, rows)
        else:
            siblings = [
                {"rfilename": n, "size": b.size, "blobId": b.sha1} | _lfs(n, b, "sha256")
                for n, b in repository.commits[sha].items()
            ]
            info = {"_id": "1", "id": name, "sha": sha, "siblings": siblings, "private": False}
            self._answer(200, info)

    def _may_write(self, repository: Repository) -> bool:
        if self.token in repository.writers:
            return True
        if not self.token:
            self._error(401, "", "Invalid username or password.")
        else:
            self._error(403, "", "Forbidden: this token may not open pull requests here")
        return False

    def _accept(self, name: str, repository: Repository, revision: str, *, asks_pr: bool) -> None:
        rows = [json.loads(line) for line in self.body.splitlines()]
        header = rows[0]["value"]
        parent = header.get("parentCommit") or repository.resolve(revision) or ""
        files = dict(repository.commits[parent])
        for row in rows[1:]:
            assert row["key"] == "file"
            files[row["value"]["path"]] = Blob.of(base64.b64decode(row["value"]["content"]))
        answer = {"success": True}
        ref = revision
        if asks_pr:
            repository.pull_requests.append((header["summary"], header["description"]))
            number = len(repository.pull_requests)
            ref = f"refs/pr/{number}"
            answer["pullRequestUrl"] = f"{self.hub.url}/{name}/discussions/{number}"  # type: ignore[assignment]
        sha = repository.commit(files, ref)
        self._answer(200, answer | {"commitOid": sha, "commitUrl": f"{name}/commit/{sha}"})

    def _resolve(self, path: list[str]) -> None:
        name, revision, file = "/".join(path[:2]), path[3], "/".join(path[4:])
        repository = self._repository(name)
        if repository is None or (sha := self._commit(repository, revision)) is None:
            return
        if repository.gated and self.token not in (repository.readers or ()):
            self._error(403 if self.token else 401, "GatedRepo")
            return
        blob = repository.commits[sha].get(file)
        if blob is None:
            self._error(404, "EntryNotFound")
            return
        headers = {"X-Repo-Commit": sha}
        if file.endswith(LFS_SUFFIXES):
            signed = f"{self.hub.storage_url}/{quote(name)}/{sha}/{quote(file)}?signature=1"
            headers |= {"X-Linked-ETag": f'"{blob.sha256}"', "X-Linked-Size": str(blob.size)}
            self._answer(302, None, headers | {"Location": signed})
        else:
            there = f"/api/resolve-cache/models/{name}/{sha}/{quote(file)}"
            self._answer(307, None, headers | {"ETag": f'"{blob.sha1}"', "Location": there})

    def _regular_file(self, path: list[str]) -> None:
        sha, file = path[5], "/".join(path[6:])
        repository = self._repository("/".join(path[3:5]))
        if repository is not None:
            blob = repository.commits[sha][file]
            self._send_file(file, blob, {"X-Repo-Commit": sha, "ETag": f'"{blob.sha1}"'})

    def _storage(self, path: list[str]) -> None:
        with self.hub.lock:
            self.hub.tokens_at_storage += [self.token] if self.token else []
        sha, file = path[2], "/".join(path[3:])
        blob = self.hub.repositories["/".join(path[:2])].commits[sha][file]
        self._send_file(file, blob, {"ETag": f'"storage-{blob.sha1}"'})

    def _send_file(self, file: str, blob: Blob, headers: dict[str, str]) -> None:
        if self.fault is not None:
            headers |= self.fault.headers
        start, end, status = 0, blob.size, 200
        span = self.headers.get("Range")
        if span and not (self.fault and self.fault.ignores_range):
            first, _, last = span.removeprefix("bytes=").partition("-")
            start, end, status = int(first), min(int(last) + 1, blob.size), 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{blob.size}"
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(end - start)}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send_bytes(file, blob, start, end)

    def _send_bytes(self, file: str, blob: Blob, start: int, end: int) -> None:
        fault = self.fault or Fault("")
        step = 1 if fault.pause else CHUNK
        while start < end:
            if fault.cut_after is not None:
                end = min(end, start + fault.cut_after)
            part = blob.part(start, min(start + step, end))
            self.wfile.write(part)
            with self.hub.lock:
                self.hub.bodies[file] += len(part)
            start += len(part)
            time.sleep(fault.pause)
        if fault.cut_after is not None:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def _error(self, status: int, code: str, message: str = "") -> None:
        headers = {"X-Error-Code": code} if code else {}
        headers |= {"X-Error-Message": message} if message else {}
        self._answer(status, {"error": message or code or "not found"}, headers)

    def _answer(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _lfs(name: str, blob: Blob, key: str) -> dict[str, object]:
    if not name.endswith(LFS_SUFFIXES):
        return {}
    return {"lfs": {key: blob.sha256, "size": blob.size, "pointerSize": 134}}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        pass  # a client that hangs up is what some tests are about


@contextmanager
def serving() -> Iterator[Hub]:
    """A Hub and its storage, each on a port of its own."""
    hub = Hub()
    handlers: list[Callable[..., BaseHTTPRequestHandler]] = [
        type("HubHandler", (_Handler,), {"hub": hub}),
        type("StorageHandler", (_Handler,), {"hub": hub, "is_storage": True}),
    ]
    servers = [_Server(("127.0.0.1", 0), handler) for handler in handlers]
    hub.url = f"http://127.0.0.1:{servers[0].server_address[1]}"
    hub.storage_url = f"http://localhost:{servers[1].server_address[1]}"
    threads = [Thread(target=s.serve_forever, args=(0.05,), daemon=True) for s in servers]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
