"""An MCP server over stdio with the tools that it is told to have, written by hand so that nothing corrects them.

It is given a JSON object: tool -> what `tools/list` says of it beside the name. Calls are answered by their arguments.
"""

import json
import sys

TOOLS = json.loads(sys.argv[1]) if __name__ == "__main__" else {}


def answer(method: str, params: dict) -> dict | None:
    """The result of a request; None for one that is not known here."""
    if method == "initialize":
        version = params.get("protocolVersion", "2025-06-18")
        return {
            "protocolVersion": version,
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "told", "version": "1"},
        }
    if method == "tools/list":
        return {"tools": [{"name": name, **told} for name, told in TOOLS.items()]}
    if method == "tools/call":
        said = json.dumps(params.get("arguments"))
        return {"content": [{"type": "text", "text": said}], "structuredContent": params.get("arguments")}
    return {} if method == "ping" else None


def serve() -> None:
    """Answers what arrives on standard input."""
    for line in sys.stdin:
        message = json.loads(line) if line.strip() else {}
        if message.get("id") is None:
            continue
        result = answer(message["method"], message.get("params") or {})
        refused = {"error": {"code": -32601, "message": "there is no such method"}}
        reply = {"jsonrpc": "2.0", "id": message["id"], **(refused if result is None else {"result": result})}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    serve()
