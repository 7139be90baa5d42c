"""Answers as vLLM with a reasoning parser, as a server with content parts, and as one with native tool calls."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWER = "<think>It is bright.</think><answer>yes</answer>"


class H(BaseHTTPRequestHandler):
    def log_message(self, *a):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        mode = sys.argv[1]
        msg = {"role": "assistant"}
        if mode == "reasoning":
            msg |= {"content": None, "reasoning": ANSWER, "reasoning_content": ANSWER, "tool_calls": []}
        elif mode == "split":
            msg |= {"content": "\n\n<answer>yes</answer>", "reasoning_content": "It is bright."}
        elif mode == "parts":
            msg |= {"content": [{"type": "text", "text": ANSWER}]}
        elif mode == "native":
            msg |= {
                "content": None,
                "tool_calls": [
                    {
                        "id": "1",
                        "type": "function",
                        "function": {"name": "zoom", "arguments": '{"bbox_2d": [1, 2, 500, 600]}'},
                    }
                ],
            }
        body = json.dumps(
            {
                "id": "1",
                "object": "chat.completion",
                "choices": [{"index": 0, "message": msg, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5},
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), H)
    print(server.server_port, flush=True)
    server.serve_forever()
