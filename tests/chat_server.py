"""A real HTTP server that speaks the chat-completions protocol, for tests: each test says what it answers."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image


@dataclass
class Asked:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    def images(self, message: int = -1) -> list[np.ndarray]:
        """The pixels of the images of a message, decoded from its data URLs."""
        parts = self.body["messages"][message]["content"]
        urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        files = [base64.b64decode(url.removeprefix("data:image/png;base64,"), validate=True) for url in urls]
        return [np.asarray(Image.open(io.BytesIO(file))) for file in files]

    def text(self, message: int = -1) -> str:
        """The text of a message."""
        content = self.body["messages"][message]["content"]
        return content if isinstance(content, str) else "".join(p["text"] for p in content if p["type"] == "text")


@dataclass
class Answer:
    """What the server sends back."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    hang_up: bool = False  # close the connection without a word


def saying(
    text: str | None, finish_reason: str = "stop", prompt_tokens: int = 100, completion_tokens: int = 7
) -> Answer:
    """An answer of the model."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 100, "completion_tokens": 7}
    return Answer(body={"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage})


def failing(status: int, message: str = "no", code: str = "", **headers: str) -> Answer:
    """An error in OpenAI's form."""
    return Answer(status=status, body={"error": {"message": message, "code": code}}, headers=headers)


class ChatServer:
    """Answers ``/v1/chat/completions``; `asked` has what arrived, in order."""

    def __init__(self, answer: Callable[[Asked, int], Answer]) -> None:
        self.asked: list[Asked] = []
        self.most_at_once = 0
        self._now = 0
        self._lock = threading.Lock()
        self._answer = answer

    def handle(self, asked: Asked) -> Answer:
        """What to send back for a request."""
        with self._lock:
            self.asked.append(asked)
            number = len(self.asked) - 1
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            answer = self._answer(asked, number)
            time.sleep(answer.delay_s)
            return answer
        finally:
            with self._lock:
                self._now -= 1


@contextmanager
def chat_server(answer: Callable[[Asked, int], Answer]) -> Iterator[tuple[str, ChatServer]]:
    """A server on a free port: its URL up to ``/v1``, and what it was asked.

    Args:
        answer: from a request and its number to what is sent back.
    """
    chat = ChatServer(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            sent = chat.handle(Asked(path=self.path, headers=headers, body=body))
            if sent.hang_up:
                self.close_connection = True
                return
            data = sent.body.encode() if isinstance(sent.body, str) else json.dumps(sent.body).encode()
            self.send_response(sent.status)
            for name, value in {"Content-Type": "application/json", **sent.headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", chat
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
