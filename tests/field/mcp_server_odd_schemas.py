"""A server that speaks MCP over stdio by hand, so that its schemas are exactly what the reports show."""

import base64
import json
import sys

MODE = sys.argv[1] if len(sys.argv) > 1 else "all"
num = {"type": "number"}
TOOLS = {
    "crop_tuple": {
        "type": "object",
        "properties": {"bbox": {"type": "array", "items": [num, num, num, num], "minItems": 4, "maxItems": 4}},
        "required": ["bbox"],
        "$schema": "http://json-schema.org/draft-07/schema#",
    },
    "crop_prefix": {
        "type": "object",
        "properties": {
            "bbox": {"type": "array", "prefixItems": [num, num, num, num], "items": False, "minItems": 4, "maxItems": 4}
        },
        "required": ["bbox"],
    },
    "anything": {"type": "object", "properties": {"values": {"type": "array", "items": True}}},
    "status": {"type": "object"},
    "plain": {"type": "object", "properties": {"k": {"type": ["null", "integer"]}}},
}
if MODE == "null":
    TOOLS = {"status": {"type": "object", "properties": {}, "required": None}}
if MODE == "nullprops":
    TOOLS = {"status": {"type": "object", "properties": None}}
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")


def result(name, args):
    return {"content": [{"type": "text", "text": f"{name} got {json.dumps(args)}"}]}


def serve() -> None:
    """Answers what arrives on standard input."""
    for line in sys.stdin:
        if not line.strip():
            continue
        m = json.loads(line)
        i = m.get("id")
        meth = m.get("method")
        if i is None:
            continue
        if meth == "initialize":
            r = {
                "protocolVersion": m["params"].get("protocolVersion", "2025-06-18"),
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "raw", "version": "1"},
            }
        elif meth == "tools/list":
            r = {"tools": [{"name": n, "description": n, "inputSchema": s} for n, s in TOOLS.items()]}
        elif meth == "tools/call":
            r = result(m["params"]["name"], m["params"].get("arguments"))
        elif meth == "ping":
            r = {}
        else:
            print(
                json.dumps({"jsonrpc": "2.0", "id": i, "error": {"code": -32601, "message": "no " + str(meth)}}),
                flush=True,
            )
            continue
        print(json.dumps({"jsonrpc": "2.0", "id": i, "result": r}), flush=True)


if __name__ == "__main__":
    serve()
