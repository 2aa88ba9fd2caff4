"""A local web server that fails as told: each request for a file takes the next fault of its list, then files arrive as they are."""

import contextlib
import http.server
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path


class FaultyServer(http.server.ThreadingHTTPServer):
    """Faults by file name: `500` and the like (status), `cut` (half the body, then silence), `long` (a Content-Length beyond the body),
    `short` (one that hides half), `flip` (a wrong byte in the body), `stall` (half the body, then nothing until the test ends), `more`
    (a body without end or length).
    """

    daemon_threads = False  # closing waits for the answers in progress

    def __init__(self, folder: Path, *, ranges: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.ranges = folder, ranges
        self.faults: dict[str, list[str | int]] = defaultdict(list)
        self.asked: list[tuple[str, str | None]] = []
        """Name and Range of every request."""
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def count(self, ending: str) -> int:
        return sum(name.endswith(ending) for name, _ in self.asked)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: FaultyServer

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(head=True)

    def do_GET(self) -> None:
        self.answer(head=False)

    def answer(self, *, head: bool) -> None:
        path, name, asked = self.server.folder / self.path.lstrip("/"), Path(self.path).name, self.headers.get("Range")
        self.server.asked.append((self.path, asked))
        faults = self.server.faults[name]
        fault = faults.pop(0) if faults else None
        if isinstance(fault, int) or not path.is_file():
            self.send_error(fault if isinstance(fault, int) else 404)
            return
        body, first = path.read_bytes(), 0
        if asked and self.server.ranges and (found := re.fullmatch(r"bytes=(\d+)-(\d*)", asked)):
            first = int(found[1])
            last = min(int(found[2]) if found[2] else len(body) - 1, len(body) - 1)
            if first > last:
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
            body = body[first : last + 1]
        else:
            self.send_response(200)
        if fault == "flip":
            body = body[:-1] + bytes([body[-1] ^ 1])
        length = {"long": len(body) + 100, "short": len(body) // 2}.get(str(fault), len(body))
        if fault != "more":
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if not head:
            with contextlib.suppress(ConnectionError):
                self.send(body, str(fault))

    def send(self, body: bytes, fault: str) -> None:
        if fault in ("cut", "stall"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if fault == "stall":
                self.server.over.wait(30)
            self.close_connection = True
        elif fault == "more":
            while not self.server.over.is_set():
                self.wfile.write(body)
        else:
            self.wfile.write(body)


@contextlib.contextmanager
def serving(folder: Path, **options: bool) -> Iterator[FaultyServer]:
    """A running server."""
    with FaultyServer(folder, **options) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()
