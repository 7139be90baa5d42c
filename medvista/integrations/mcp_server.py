"""Our tools for other agents: ``python -m medvista.integrations.mcp_server --root FOLDER``.

A Model Context Protocol server on standard input and output, or over streamable HTTP; what it offers is in
`medvista.integrations.mcp_service`. Needs the package mcp (extra ``mcp``).
"""

from __future__ import annotations

import argparse
import hmac
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medvista.errors import UserError

if TYPE_CHECKING:
    from mcp.server import Server
    from starlette.types import ASGIApp, Receive, Scope, Send

_MOST_REQUEST_BYTES = 64 * 2**20  # an image may come in base64
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        serve(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def serve(arguments: argparse.Namespace) -> None:
    """Serve until the client, or whoever started this, ends it.

    Raises:
        UserError: a folder, a tool or the token is missing, the address is taken, or mcp is not installed.
    """
    token = _token(arguments)
    server = _server(arguments)
    if arguments.transport == "stdio":
        _serve_stdio(server)
    else:
        _serve_http(server, arguments.host, arguments.port, token)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m medvista.integrations.mcp_server",
        description="Offer medvista's tools to other agents, as a Model Context Protocol server.",
        epilog="For research only; not a medical device. See docs/mcp.md.",
    )
    root = "folder whose images may be opened; may be repeated; without any, images come in base64 only"
    token = "environment variable with a token that http clients have to send (Authorization: Bearer ...)"
    add = parser.add_argument
    add("--root", action="append", default=[], type=Path, metavar="FOLDER", help=root)
    add("--tools", default="", metavar="NAME,...", help="tools to offer (default: all that are installed)")
    add("--transport", choices=("stdio", "http"), default="stdio", help="default: stdio")
    add("--host", default="127.0.0.1", help="of http (default: 127.0.0.1, this machine only)")
    add("--port", default=8000, type=int, help="of http (default: 8000; 0 takes a free one)")
    add("--token-env", metavar="NAME", help=token)
    add("--view-size", default=448, type=int, metavar="PIXELS", help="longer side of the images sent (default: 448)")
    add("--timeout", default=60.0, type=float, metavar="SECONDS", help="that a call may take (default: 60)")
    return parser


def _token(arguments: argparse.Namespace) -> str | None:
    if arguments.token_env is not None:
        token = os.environ.get(arguments.token_env, "").strip()
        if not token:
            raise UserError(f"--token-env {arguments.token_env}: that environment variable is empty.")
        return token
    if arguments.transport == "http" and arguments.host not in _LOOPBACK:
        raise UserError(
            f"--host {arguments.host} can be reached by others: give --token-env, so that not all may look."
        )
    return None


def _server(arguments: argparse.Namespace) -> Server[Any]:
    try:
        import mcp.server  # noqa: F401 - tells in one sentence what is missing, before torch loads
    except ModuleNotFoundError:
        raise UserError("serving tools needs the package mcp: pip install 'medvista[mcp]'.") from None
    from medvista.integrations.mcp_service import ToolService
    from medvista.integrations.mcp_sessions import ImageSessions
    from medvista.tools import Toolbox, absent_tools, available_tools

    if arguments.view_size < 1 or arguments.timeout <= 0:
        raise UserError("--view-size has to be at least 1, --timeout more than 0.")
    sessions = ImageSessions(arguments.root)
    names = [name.strip() for name in arguments.tools.split(",") if name.strip()]
    if not names:
        names = list(available_tools())
        for absent, reason in absent_tools().items():
            print(f"{absent} is left out: {reason}", file=sys.stderr)
    toolbox = Toolbox.from_names(names, timeout_s=arguments.timeout)
    return ToolService(toolbox, sessions, view_size=arguments.view_size).sdk_server()


def _serve_stdio(server: Server[Any]) -> None:
    import anyio
    from mcp import stdio_server

    async def run() -> None:
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())

    anyio.run(run)


def _serve_http(server: Server[Any], host: str, port: int, token: str | None) -> None:
    import uvicorn

    # Whole answers instead of streams of events: clients read no event of more than a megabyte, images are larger.
    app = server.streamable_http_app(json_response=True, host=host, max_request_body_size=_MOST_REQUEST_BYTES)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise UserError(f"--host {host} --port {port} cannot be used ({error.strerror}); choose another.") from None
    shown = f"[{host}]" if ":" in host else host
    print(f"serving MCP on http://{shown}:{listening.getsockname()[1]}/mcp", file=sys.stderr, flush=True)
    guarded = app if token is None else guard(app, token)
    uvicorn.Server(uvicorn.Config(guarded, log_level="warning")).run(sockets=[listening])


def guard(app: ASGIApp, token: str) -> ASGIApp:
    """The application behind a bearer token."""
    from starlette.responses import PlainTextResponse

    expected = f"Bearer {token}".encode()

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope.get("headers", ())).get(b"authorization", b"")
        if scope["type"] == "http" and not hmac.compare_digest(given, expected):
            await PlainTextResponse("a bearer token is needed", status_code=401)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return guarded


if __name__ == "__main__":
    sys.exit(main())
