"""A viewer's page over HTTP, to this machine alone: for a browser that sees it through ``ssh -L``.

Any page in the person's browser can send requests to this server under another host name that it has made mean
127.0.0.1 (DNS rebinding), and read the answers. So a request that does not name this machine is refused.
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_LOOPBACK = "127.0.0.1"
_NAMES = (_LOOPBACK, "localhost", "[::1]")  # under which a browser on this machine, or behind a tunnel, knows it


def page_server(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of the files of a folder, bound to the loopback address and not yet serving.

    Args:
        folder: of the page; links that lead out of it are not followed.
        port: of this machine; 0 takes a free one.

    Raises:
        OSError: the port cannot be had.
        OverflowError: it is no port.
    """
    return ThreadingHTTPServer((_LOOPBACK, port), partial(_Handler, directory=str(folder)))


class _Handler(SimpleHTTPRequestHandler):
    """Files that are really in the folder, to requests that name this machine."""

    def send_head(self) -> Any:
        """The file of the request, opened behind its headers; None where it is refused."""
        host = self.headers.get("Host", "")
        name = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
        if name.lower() not in _NAMES:
            self.send_error(HTTPStatus.FORBIDDEN, "This server answers to 127.0.0.1 and localhost only")
            return None
        if not self._inside(Path(self.translate_path(self.path))):
            self.send_error(HTTPStatus.NOT_FOUND, "There is no such file in this folder")
            return None
        return super().send_head()

    def list_directory(self, path: Any) -> None:
        """Nothing is listed."""
        self.send_error(HTTPStatus.NOT_FOUND, "There is no page in this folder")

    def end_headers(self) -> None:
        """With what keeps other pages from embedding, and the browser from guessing, what is sent."""
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a line a picture would bury the address."""

    def _inside(self, path: Path) -> bool:
        folder, place = Path(self.directory).resolve(), path.resolve()
        return (place == folder or folder in place.parents) and (place.is_file() or place.is_dir())
