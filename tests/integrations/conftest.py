"""Servers in processes of their own, as users run them."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ODD_SERVER = Path(__file__).with_name("odd_server.py")


@contextlib.contextmanager
def running(command: list[str], **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is ended with the block."""
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env={**os.environ, **environment}
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


@pytest.fixture
def odd_url() -> Iterator[str]:
    """The odd server over streamable HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running([sys.executable, str(ODD_SERVER), str(port)]):
        for _ in range(400):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"


@pytest.fixture(scope="module")
def serve_http() -> Iterator[Callable[..., str]]:
    """Starts our server over HTTP with some arguments; its URL, as it says it."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, **environment: str) -> str:
            command = [sys.executable, "-m", "medvista.integrations.mcp_server", "--transport", "http", "--port", "0"]
            process = stack.enter_context(running([*command, *arguments], **environment))
            assert process.stderr is not None
            for line in process.stderr:
                if found := re.search(r"serving MCP on (http://\S+)", line):
                    return found[1]
            raise RuntimeError("the server ended without a word of where it serves")

        yield start
