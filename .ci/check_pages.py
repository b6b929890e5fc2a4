"""Opens each built page in headless Chromium, wide and narrow: ``check_pages.py docs/_build/html``.

Fails on a console error, a missing file, a picture without pixels, anything fetched from elsewhere,
an equation that is not typeset, a page wider than its window, a link within the pages that leads
nowhere, and a search without results.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urldefrag, urljoin

SECONDS = 600
WIDTHS = (1300, 400)
SPY = b"""<script>
window.faults = [];
addEventListener("error", (e) => faults.push(e.message || "cannot load " + e.target.src), true);
addEventListener("unhandledrejection", (e) => faults.push(String(e.reason)));
console.error = (...words) => faults.push(words.join(" "));
</script>"""
HARNESS = """<!doctype html><iframe id="frame" style="border: 0; height: 900px"></iframe>
<script>{script}
check({pages}, {widths});</script>"""


class Site(SimpleHTTPRequestHandler):
    """Serves the pages with the spy in them, and takes the browser's findings."""

    pages: ClassVar[list[str]] = []
    missing: ClassVar[list[str]] = []
    found: ClassVar[list[str]] = []
    done = threading.Event()

    def do_GET(self) -> None:
        """A page with the spy, the harness, or a file as it is."""
        place = Path(self.translate_path(self.path))
        if self.path == "/harness":
            script = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
            parts = {"script": script, "pages": json.dumps(self.pages), "widths": list(WIDTHS)}
            self._send(HARNESS.format(**parts).encode())
        elif place.suffix == ".html" and place.is_file():
            self._send(place.read_bytes().replace(b"<head>", b"<head>" + SPY, 1))
        else:
            super().do_GET()

    def do_POST(self) -> None:
        """What the browser found."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.found.extend(json.loads(body))
        self._send(b"")
        self.done.set()

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_error(self, code: int, *args: object, **kwargs: object) -> None:
        """Keeps the name of what is missing."""
        if self.path != "/favicon.ico":
            self.missing.append(f"{self.path}: {code}")
        super().send_error(code, *args, **kwargs)  # type: ignore[arg-type]

    def log_message(self, *args: object) -> None:
        """Says nothing."""


class Links(HTMLParser):
    """The targets of a page and the names in it that others may link to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Takes href, id and name."""
        for name, value in attrs:
            if name == "href" and tag == "a" and value:
                self.targets.append(value)
            elif name in {"id", "name"} and value:
                self.names.add(value)


def dead_links(root: Path, pages: list[str]) -> list[str]:
    """Links from page to page whose file or anchor is not there."""
    known = {page: Links((root / page).read_text(encoding="utf-8")) for page in pages}
    dead = []
    for page, links in known.items():
        for target in links.targets:
            if re.match(r"[a-z]+:", target):
                continue
            place, anchor = urldefrag(urljoin(page, target))
            place = unquote(place) or page
            lost = anchor and place in known and unquote(anchor) not in known[place].names
            if not (root / place).exists() or lost:
                dead.append(f"{page}: the link {target} leads nowhere")
    return dead


def main(root: Path, chromium: str) -> list[str]:
    """Everything that is wrong with the pages."""
    pages = sorted(p.relative_to(root).as_posix() for p in root.rglob("*.html"))
    pages = [p for p in pages if not p.startswith(("_static/", "_modules/"))]
    Site.pages.extend(pages)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Site, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = subprocess.Popen(
            [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             f"--user-data-dir={profile}", f"http://127.0.0.1:{server.server_port}/harness"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        finished = Site.done.wait(SECONDS)
        browser.kill()
        browser.wait()
    late = [] if finished else [f"the browser was not done after {SECONDS} s"]
    print(f"{len(pages)} pages at {' and '.join(map(str, WIDTHS))} pixels")
    return late + Site.found + Site.missing + dead_links(root, pages)


if __name__ == "__main__":
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        print("no Chromium here: the pages were not opened")
        sys.exit(0)
    wrong = main(Path(sys.argv[1]), program)
    print(*wrong, sep="\n")
    sys.exit(1 if wrong else 0)
