"""The text of a message in whatever form servers send it: plain, in parts, with calls that the server took out of it.

What a model reasoned in a field of its own is not its answer, and is left where it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from medvista.parsing import format_action
from medvista.types import ToolCall

_REASONING = (
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "thinking",
)  # of vLLM, DeepSeek, OpenRouter, Ollama
_THOUGHTS = frozenset({"reasoning", "reasoning_text", "thinking", "redacted_thinking", "thought"})  # kinds of parts
_CALLS = frozenset({"tool_call", "tool_use", "function_call", "function"})
_TEXT = ("text", "output_text", "refusal", "content", "value")  # where a part has its text, or further parts


def message_text(message: Mapping[str, Any]) -> str:
    """What the model wrote, with a call of the API's own form in the turn grammar, as the model is told to write it.

    >>> message_text({"content": [{"type": "text", "text": "<answer>"}, {"type": "text", "text": "no</answer>"}]})
    '<answer>no</answer>'
    >>> message_text({"content": None, "tool_calls": [{"function": {"name": "zoom", "arguments": '{"image": 0}'}}]})
    '<tool_call>{"name": "zoom", "arguments": {"image": 0}}</tool_call>'
    """
    text = _joined(message.get("content"))
    text = text if text.strip() else _joined(message.get("refusal")) or text
    return text + "".join(_written_call(call) for call in _calls(message))


def has_calls(message: Mapping[str, Any]) -> bool:
    """Whether the message has calls in the API's own form, which `message_text` writes in the turn grammar."""
    return bool(_calls(message)) or any(_kind(part) in _CALLS for part in _parts(message))


def has_reasoning(message: Mapping[str, Any]) -> bool:
    """Whether the model reasoned where no answer is read."""
    return any(message.get(name) for name in _REASONING) or any(_is_thought(part) for part in _parts(message))


def _joined(content: Any) -> str:
    if isinstance(content, list):
        return "".join(map(_joined, content))
    if isinstance(content, Mapping):
        if _kind(content) in _CALLS:
            return _written_call(content)
        found = next((content[name] for name in _TEXT if content.get(name) is not None), None)
        return "" if _is_thought(content) else _joined(found)
    return "" if content is None or isinstance(content, bool) else str(content)


def _parts(message: Mapping[str, Any]) -> list[Any]:
    content = message.get("content")
    return content if isinstance(content, list) else [content]


def _kind(part: Any) -> str:
    return str(part.get("type", "")) if isinstance(part, Mapping) else ""


def _is_thought(part: Any) -> bool:
    return _kind(part) in _THOUGHTS or (isinstance(part, Mapping) and part.get("thought") is True)


def _calls(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The calls beside the content; ``function_call`` is the API's older form of one."""
    calls = message.get("tool_calls") or [message.get("function_call")]
    return [call for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else []


def _written_call(call: Mapping[str, Any]) -> str:
    function = call.get("function")
    function = function if isinstance(function, Mapping) else call
    name, arguments = str(function.get("name") or ""), function.get("arguments", function.get("input"))
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments or {}, ensure_ascii=False)
    try:
        read = json.loads(arguments or "{}")
        if isinstance(read, dict):
            return format_action(ToolCall(name=name, arguments=read))
    except (ValueError, RecursionError):
        pass
    # As it came: the model reads what is wrong with it.
    return f'<tool_call>{{"name": {json.dumps(name)}, "arguments": {arguments}}}</tool_call>'
