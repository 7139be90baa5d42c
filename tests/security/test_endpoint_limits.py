"""An endpoint cannot hold a request, or fill the memory, however slowly it drips or tightly it packs."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from medvista.endpoint import ChatEndpoint
from medvista.endpoint_limits import MAX_REPLY_BYTES
from medvista.errors import UserError
from medvista.settings import EndpointConfig

ANSWER = json.dumps({"choices": [{"message": {"content": "Hi."}}]}).encode()
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextmanager
def server(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that reads a request and then says what it likes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                asked = b""
                while not asked.endswith(b"}"):
                    asked += connection.recv(2**16)
                with suppress(OSError):  # the client has had enough
                    talk(connection)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        listener.close()


def ask(url: str, timeout_s: float = 60.0) -> str:
    config = EndpointConfig(url=url, model="m", retries=0, timeout_s=timeout_s, key_env="NO_SUCH_KEY")
    return ChatEndpoint(config).complete([{"role": "user", "content": "?"}], max_tokens=5).text


def dripping(text: bytes, seconds: float = 0.05) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        for byte in text:
            connection.sendall(bytes([byte]))
            time.sleep(seconds)

    return talk


@pytest.mark.parametrize(
    "text",
    [OK + b"X-Long: " + b"x" * 1000, OK + b"Content-Length: 1000\r\n\r\n" + b" " * 1000],
    ids=["headers", "body"],
)
def test_a_server_that_drips_is_left_when_the_time_of_the_request_is_up(text: bytes) -> None:
    with server(dripping(text)) as url:
        start = time.monotonic()
        with pytest.raises(UserError, match="ReadTimeout"):
            ask(url, timeout_s=1.0)
        assert time.monotonic() - start < 5.0


def test_a_slow_answer_within_the_time_is_read() -> None:
    with server(dripping(OK + b"Content-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER, seconds=0.001)) as url:
        assert ask(url) == "Hi."


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: data], ids=["gzip", "plain"])
def test_a_reply_is_read_packed_or_not(pack: Callable[[bytes], bytes]) -> None:
    content = pack(ANSWER)
    named = b"Content-Encoding: gzip\r\n" if content != ANSWER else b""
    with server(lambda c: c.sendall(OK + named + b"Content-Length: %d\r\n\r\n" % len(content) + content)) as url:
        assert ask(url) == "Hi."


def test_a_reply_that_unfolds_beyond_measure_is_not_unfolded() -> None:
    content = gzip.compress(bytes(8 * MAX_REPLY_BYTES), 1)

    def talk(connection: socket.socket) -> None:
        connection.sendall(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(content) + content)

    with server(talk) as url:
        tracemalloc.start()
        with pytest.raises(UserError, match="a reply of more than 32 MiB"):
            ask(url)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 3 * MAX_REPLY_BYTES


@pytest.mark.parametrize(
    ("head", "said"),
    [(b"Content-Encoding: br\r\n", "packed as 'br'"), (b"Content-Encoding: gzip\r\n", "cannot be unpacked")],
)
def test_what_cannot_be_unpacked_is_a_sentence(head: bytes, said: str) -> None:
    reply = OK + head + b"Content-Length: 4\r\n\r\nwhat"
    with server(lambda c: c.sendall(reply)) as url, pytest.raises(UserError, match=said):
        ask(url)
