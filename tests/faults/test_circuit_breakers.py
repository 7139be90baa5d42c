"""What fails time after time is left alone for a while, tried again, and told of at the end."""

from __future__ import annotations

import pickle
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from medvista.app.config.command_line import load_config
from medvista.app.toolboxes import make_toolbox
from medvista.circuit_breaker import CircuitBreaker
from medvista.endpoint import ChatEndpoint
from medvista.errors import UserError
from medvista.settings import EndpointConfig, MCPServerConfig
from medvista.tools import Tool, Toolbox, tool
from medvista.tools.executors import CallError, Execution, ThreadExecutor
from medvista.types import MedicalImage, ToolCall, ToolErrorType, ToolResult
from tests.chat_server import Answer, Asked, chat_server, saying

pytestmark = pytest.mark.faults


class Clock:
    """Goes on when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Moody:
    """A tool that fails as it is told to, and counts its calls."""

    def __init__(self) -> None:
        self.mood: BaseException | None = None
        self.calls = 0

    def tool(self) -> Tool:
        def look(images: Any) -> ToolResult:
            """Looks."""
            self.calls += 1
            if self.mood is not None:
                raise self.mood
            return ToolResult(text="seen")

        return tool(look)


class SlowMachine(ThreadExecutor):
    """On which a tool that raises TimeoutError has run out of time."""

    def run(self, tool: Tool, images: Sequence[MedicalImage], arguments: Mapping[str, Any]) -> Execution:
        try:
            return super().run(tool, images, arguments)
        except TimeoutError:
            raise CallError(ToolErrorType.TIMEOUT, f"{tool.name} took longer than 1 s.") from None


def guarded(moody: Moody, clock: Clock, failures: int = 3) -> Toolbox:
    breakers = {"look": CircuitBreaker(failures, 30.0, clock=clock)}
    return Toolbox([moody.tool()], executor=SlowMachine(), breakers=breakers)


def call(toolbox: Toolbox, name: str = "look") -> ToolResult:
    return toolbox.run(ToolCall(name=name, arguments={}), ())


def test_a_tool_out_of_order_is_answered_for_at_once_and_tried_again_later() -> None:
    moody, clock = Moody(), Clock()
    toolbox = guarded(moody, clock)
    moody.mood = TimeoutError()
    for _ in range(3):
        assert call(toolbox).error.type is ToolErrorType.TIMEOUT
    refused = call(toolbox).error
    assert (refused.type, moody.calls) == (ToolErrorType.UNAVAILABLE, 3)
    assert refused.message == "look is out of order: its last 3 calls failed, and it is left alone for a while."
    clock.now = 31.0
    assert call(toolbox).error.type is ToolErrorType.TIMEOUT  # half-open: tried once, and left alone again
    assert call(toolbox).error.type is ToolErrorType.UNAVAILABLE
    clock.now, moody.mood = 62.0, None
    assert call(toolbox).text == call(toolbox).text == "seen"
    assert toolbox.outages() == [
        "look failed 3 times in a row and was left alone, 1 times so far: in 62 s 2 of its calls were answered with an "
        "error at once."
    ]


def test_errors_that_other_arguments_would_mend_open_nothing() -> None:
    moody, clock = Moody(), Clock()
    toolbox = guarded(moody, clock)
    moody.mood = ValueError("the region is empty")
    for _ in range(9):
        assert call(toolbox).error.type is ToolErrorType.FAILED
        assert toolbox.run(ToolCall(name="look", arguments={"x": 1}), ()).error.type is ToolErrorType.INVALID_ARGUMENTS
    assert (moody.calls, toolbox.outages()) == (9, [])


def test_one_good_call_begins_the_count_anew() -> None:
    breaker = CircuitBreaker(2, 30.0, clock=Clock())
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()
    assert pickle.loads(pickle.dumps(breaker)).allows()  # a copy in a worker starts closed


def test_zero_failures_switch_it_off() -> None:
    breaker = CircuitBreaker(0, 30.0, clock=Clock())
    for _ in range(100):
        breaker.failed()
    assert breaker.allows()


def test_one_thread_alone_tries_again() -> None:
    clock = Clock()
    breaker = CircuitBreaker(1, 30.0, clock=clock)
    breaker.failed()
    clock.now = 31.0
    let_through: list[bool] = []
    threads = [threading.Thread(target=lambda: let_through.append(breaker.allows())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(let_through) == 1


def test_every_tool_of_a_run_has_one_as_it_is_configured() -> None:
    env = load_config(
        ["experiment=smoke", "env.tools_breaker_failures=7", "env.tools_limits={zoom: {breaker_pause_s: 5}}"]
    ).env
    moody = Moody()
    zoom = Tool(moody.tool().function, "zoom", description="Zooms.", parameters={"type": "object", "properties": {}})
    breaker = make_toolbox(env, [zoom]).breakers["zoom"]
    assert (breaker.failures, breaker.pause_s) == (7, 5)


def test_a_server_of_tools_that_will_not_start_costs_only_the_first_calls(tmp_path: Path) -> None:
    pytest.importorskip("mcp")
    from medvista.integrations.mcp_client import MCPTool
    from medvista.integrations.mcp_connection import MCPConnection

    started = tmp_path / "started"
    program = f"open({str(started)!r}, 'a').write('x'); raise SystemExit(3)"
    config = MCPServerConfig(command=sys.executable, args=["-c", program])
    gone = Tool(
        MCPTool(MCPConnection("gone", config), "look", {}),
        "look",
        description="Looks.",
        parameters={"type": "object", "properties": {}},
    )
    toolbox = Toolbox([gone], breakers={"look": CircuitBreaker(2, 60.0)})
    kinds = [call(toolbox).error.type for _ in range(6)]
    assert kinds == [ToolErrorType.UNAVAILABLE] * 6
    assert started.read_text() == "xx"


def endpoint(url: str, **options: Any) -> ChatEndpoint:
    given = {"retries": 0, "backoff_s": 0.0, "timeout_s": 5.0, "outage_s": 20.0}
    return ChatEndpoint(EndpointConfig(url=url, model="m", **given | options))


ASKED = [{"role": "user", "content": "?"}]


def test_an_endpoint_that_comes_back_is_waited_for_by_one_request_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medvista.endpoint._PROBE_S", 0.2)
    monkeypatch.setattr("medvista.endpoint._LOOK_AGAIN_S", 0.02)
    away = threading.Event()
    asked_while_away: list[float] = []

    def respond(asked: Asked, number: int) -> Answer:
        if away.is_set():
            asked_while_away.append(time.monotonic())
            return Answer(503, {"error": {"message": "restarting"}})
        return saying("yes")

    with chat_server(respond) as (url, _):
        client = endpoint(url)
        assert client.complete(ASKED, max_tokens=4).text == "yes"
        away.set()
        threading.Timer(1.0, away.clear).start()
        replies = client.map(lambda _: client.complete(ASKED, max_tokens=4), range(6))
    assert [reply.text for reply in replies] == ["yes"] * 6
    probes = [moment for moment in asked_while_away if moment > asked_while_away[0] + 0.15]
    assert len(probes) <= 6  # six requests, each of which would have asked dozens of times
    assert "away" in client.cost_line()


def test_an_endpoint_that_stays_away_ends_the_run_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medvista.endpoint._PROBE_S", 0.05)
    monkeypatch.setattr("medvista.endpoint._LOOK_AGAIN_S", 0.02)
    answers = iter([saying("yes")])
    with chat_server(lambda asked, number: next(answers, Answer(503, {"error": {"message": "gone"}}))) as (url, _):
        client = endpoint(url, outage_s=0.4)
        client.complete(ASKED, max_tokens=4)
        with pytest.raises(UserError, match="gave no answer in 1 attempts; the last: HTTP 503: gone"):
            client.complete(ASKED, max_tokens=4)
        fresh = endpoint(url)  # one that never answered is not waited for: its address may be wrong
        with pytest.raises(UserError, match="gave no answer"):
            fresh.complete(ASKED, max_tokens=4)
