"""The viewer's server answers this machine, by its own name, with files of its own folder."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from medvista.evaluation.viewer import page_server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A viewer's folder beside something private."""
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "notes.txt").write_text("private")
    (tmp_path / "viewer" / "images").mkdir(parents=True)
    (tmp_path / "viewer" / "index.html").write_text("the page")
    (tmp_path / "viewer" / "images" / "a.png").write_text("a picture")
    (tmp_path / "viewer" / "link.txt").symlink_to(tmp_path / "private" / "notes.txt")
    (tmp_path / "viewer" / "linked").symlink_to(tmp_path / "private")
    return tmp_path / "viewer"


@pytest.fixture
def port(folder: Path) -> Iterator[int]:
    server = page_server(folder, 0)
    assert server.server_address[0] == "127.0.0.1"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def ask(port: int, path: str, host: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest("GET", path, skip_host=True)
    if host != "":
        connection.putheader("Host", host or f"127.0.0.1:{port}")
    connection.endheaders()
    response = connection.getresponse()
    content = response.read().decode()
    connection.close()
    return response.status, content


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "localhost:8000", "[::1]:8000", "LOCALHOST"])
def test_this_machine_is_answered_by_any_of_its_names(host: str, port: int) -> None:
    assert ask(port, "/", host.format(port=port)) == (200, "the page")
    assert ask(port, "/images/a.png", host.format(port=port)) == (200, "a picture")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "", "10.0.0.1"]
)
def test_a_page_under_another_name_is_refused(host: str, port: int) -> None:
    status, content = ask(port, "/", host)
    assert status == 403
    assert "the page" not in content


@pytest.mark.parametrize(
    "path",
    [
        "/link.txt",
        "/linked/notes.txt",
        "/../private/notes.txt",
        "/%2e%2e/private/notes.txt",
        "/images/..%2f..%2fprivate/notes.txt",
    ],
)
def test_no_way_leads_out_of_the_folder(path: str, port: int) -> None:
    status, content = ask(port, path)
    assert status == 404
    assert "private" not in content


def test_folders_are_not_listed(port: int) -> None:
    assert ask(port, "/images/")[0] == 404
