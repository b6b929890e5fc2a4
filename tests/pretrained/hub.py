"""A hub on the loopback interface: as much of the protocol as fetching a file needs."""

import hashlib
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Serves ``files`` ("owner/name/file" to bytes), counts how often each is ``sent``."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.requests = 0
        self.sent: Counter[str] = Counter()
        self.damage = False  # send other bytes than the stated digest is of
        self.silent = False  # hang up
        self.large = True  # store files as the hub does large ones, with their sha256 as the etag
        self.endpoint = f"http://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        if self._thread.is_alive():
            self.shutdown()
            self.server_close()
            self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        body = self._answer()
        self.server.sent[self._file] += 1
        self.wfile.write(body[::-1] if self.server.damage else body)

    @property
    def _file(self) -> str:
        return self.path.removeprefix("/").replace("resolve/main/", "")

    def _answer(self) -> bytes:
        """Send the headers, and return the file, empty where there is none."""
        self.server.requests += 1
        if self.server.silent:
            self.close_connection = True
            return b""
        path = self._file
        if path not in self.server.files:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return b""
        body = self.server.files[path]
        digest = hashlib.sha256(body).hexdigest()
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{digest[:40]}"')
        if self.server.large:
            self.send_header("X-Linked-Etag", f'"{digest}"')
            self.send_header("X-Linked-Size", str(len(body)))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return body

    def log_message(self, *args: object) -> None:
        pass
