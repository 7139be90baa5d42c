"""Our tools, met by the SDK's own client at a real server process."""

import base64
import io
import subprocess
import sys

import anyio
import httpx2
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("mcp")

from mcp import Client, StdioServerParameters

from medvista.imaging import fit, read_image
from medvista.integrations.mcp_client import mcp_tools
from medvista.settings import MCPServerConfig
from medvista.tools import Toolbox
from medvista.types import MedicalImage, ToolCall, ToolErrorType

PIXELS = np.random.default_rng(0).integers(0, 2**16, (300, 200)).astype(np.uint16)
SERVER = ["-m", "medvista.integrations.mcp_server"]
HALF = {"bbox_2d": [0, 0, 500, 500]}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with a 16-bit radiograph; beside it, a file that is nobody's business, and a link to it."""
    outside = tmp_path_factory.mktemp("outside")
    Image.fromarray(PIXELS).save(outside / "secret.png")
    folder = tmp_path_factory.mktemp("scans")
    Image.fromarray(PIXELS).save(folder / "chest.png")
    (folder / "link.png").symlink_to(outside / "secret.png")
    (folder / "notes.txt").write_text("no image")
    return folder


def play(server, calls, mode="auto"):
    """The answers to some calls; a call may be made from the answers so far."""

    async def session():
        async with Client(server, mode=mode) as client:
            answers = [await client.list_tools()]
            for call in calls:
                name, arguments = call(answers) if callable(call) else call
                answers.append(await client.call_tool(name, arguments))
            return answers

    return anyio.run(session)


def stdio(*arguments):
    return StdioServerParameters(command=sys.executable, args=[*SERVER, *map(str, arguments)])


def texts(answer):
    return "\n".join(block.text for block in answer.content if block.type == "text")


def pictures(answer):
    images = [block for block in answer.content if block.type == "image"]
    assert all(image.mime_type == "image/png" for image in images)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(image.data)))) for image in images]


def shown(pixels, window):
    """What a policy would be shown of these grey values of the radiograph."""
    return fit(MedicalImage(pixels=pixels, window=window), 448).pixels


def in_base64(path):
    return base64.b64encode(path.read_bytes()).decode()


@pytest.fixture(scope="module")
def answers(root):
    """What one agent is answered over standard input and output."""
    calls = [
        ("zoom", HALF),
        ("open_image", {"path": "chest.png"}),
        ("zoom", HALF),
        ("zoom", {**HALF, "image": 1}),
        ("zoom", {**HALF, "image": 9}),
        ("window", {"files": [f"data:image/png;base64,{in_base64(root / 'chest.png')}"], "centre": 1000, "width": 500}),
        ("open_image", {"data": in_base64(root / "chest.png")}),
        ("zoom", {**HALF, "image": 3}),
        ("open_image", {"path": str(root.parent / "outside0" / "secret.png")}),
        ("open_image", {"path": "../outside0/secret.png"}),
        ("open_image", {"path": "link.png"}),
        ("open_image", {"path": "missing.png"}),
        ("open_image", {"path": "notes.txt"}),
        ("open_image", {"data": "bm90aGluZw=="}),
        ("open_image", {"data": "!"}),
        ("open_image", {}),
        ("zoom", {**HALF, "session": "guessed"}),
        ("zoom", {"bbox_2d": [0, 0]}),
        ("zoom", {**HALF, "files": "chest.png"}),
        ("zom", {}),
        ("zoom", {**HALF, "files": ["chest.png"]}),
    ]
    return play(stdio("--root", root, "--tools", "zoom,window"), calls)


def test_the_tools_are_listed_with_their_schemas(answers):
    tools = {tool.name: tool for tool in answers[0].tools}
    assert list(tools) == ["open_image", "zoom", "window"]
    assert tools["zoom"].input_schema["required"] == ["bbox_2d"]
    assert set(tools["zoom"].input_schema["properties"]) == {"bbox_2d", "image", "session", "files"}
    assert tools["zoom"].description.startswith("Look closer")


def test_an_image_is_opened_then_looked_at_by_its_index(answers, root):
    before, opened, zoomed, again = answers[1:5]
    assert before.is_error
    assert "Call open_image first" in texts(before)
    session = opened.structured_content["session"]
    assert texts(opened) == f"Image 0 of session {session}: 200 x 300 pixels, 16 bits."
    window = read_image(root / "chest.png").window
    assert np.array_equal(pictures(opened)[0], shown(PIXELS, window))
    assert texts(zoomed) == "Image 1: Zoom of image 0 at [0, 0, 500, 500]."
    assert zoomed.structured_content["regions"] == [
        {"box": [0.0, 0.0, 100.0, 150.0], "image": 0, "label": "zoom", "slice": None}
    ]
    assert pictures(zoomed)[0].shape == (448, 299)
    assert texts(again) == "Image 2: Zoom of image 1 at [0, 0, 500, 500]."
    assert again.structured_content["regions"][0]["box"] == [0.0, 0.0, 50.0, 75.0]


def test_images_may_come_with_the_call_and_are_not_kept(answers):
    windowed = answers[6]
    low, high = 750, 1250
    expected = np.clip((PIXELS.astype(float) - low) / (high - low) * 255 + 0.5, 0, 255).astype(np.uint8)
    native = fit(MedicalImage(pixels=expected), 448).pixels
    assert np.abs(pictures(windowed)[0].astype(int) - native).max() <= 1
    assert windowed.structured_content["session"] is None
    assert answers[21].structured_content["images"] == []


def test_an_image_sent_in_base64_joins_the_session_as_its_own_source(answers):
    opened, zoomed = answers[7:9]
    assert texts(opened).startswith("Image 3 of session")
    assert zoomed.structured_content["images"] == [4]
    assert zoomed.structured_content["regions"][0]["image"] == 3


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (5, "There is no image 9; images 0 to 2 exist"),
        (9, "under the folders this server may read"),
        (10, "under the folders this server may read"),
        (11, "under the folders this server may read"),
        (12, "under the folders this server may read"),
        (13, "notes.txt is not an image file"),
        (14, "The image sent is not an image file"),
        (15, "no valid base64"),
        (16, "either a path, or the content of a file"),
        (17, "There is no session 'guessed'"),
        (18, "bbox_2d has to have 4 items, got 2"),
        (19, "files has to be a list"),
    ],
)
def test_what_is_wrong_with_a_call_is_said(answers, number, said):
    assert answers[number].is_error
    assert answers[number].structured_content == {"error": "invalid_arguments"}
    assert said in texts(answers[number])
    assert answers[number].content[1:] == []


def test_an_unknown_tool_names_the_nearest(answers):
    assert texts(answers[20]) == "There is no tool 'zom'; did you mean 'zoom'?"
    assert answers[20].structured_content == {"error": "unknown_tool"}


@pytest.fixture(scope="module")
def url(root, serve_http):
    """Our server over HTTP, which sends large pictures."""
    return serve_http("--root", str(root), "--tools", "zoom", "--view-size", "2000")


def test_over_http_a_session_is_found_by_its_name_alone(url):
    def named(answers):
        return "zoom", {**HALF, "session": answers[1].structured_content["session"]}

    _, _, zoomed, lost = play(url, [("open_image", {"path": "chest.png"}), named, ("zoom", HALF)])
    assert pictures(zoomed)[0].shape == (2000, 1333)
    assert zoomed.structured_content["images"] == [1]
    assert lost.is_error  # each request of this protocol stands alone


def test_over_http_an_older_client_has_a_session_of_its_own(url):
    _, _, zoomed = play(url, [("open_image", {"path": "chest.png"}), ("zoom", HALF)], mode="legacy")
    assert zoomed.structured_content["images"] == [1]
    assert play(url, [("zoom", HALF)], mode="legacy")[1].is_error  # the next client does not see it


def test_an_image_larger_than_a_megabyte_comes_back_whole(url):
    _, opened = play(url, [("open_image", {"path": "chest.png"})])
    assert len(opened.content[1].data) > 2**20
    assert pictures(opened)[0].shape == (2000, 1333)


def test_http_may_ask_for_a_token_and_always_checks_the_host(root, serve_http, monkeypatch):
    url = serve_http("--root", str(root), "--tools", "zoom", "--token-env", "MCP_TOKEN", MCP_TOKEN="open-sesame")
    assert httpx2.post(url, json={}).status_code == 401
    assert httpx2.post(url, json={}, headers={"Authorization": "Bearer open"}).status_code == 401
    monkeypatch.setenv("OUR_TOKEN", "open-sesame")
    tools = Toolbox(mcp_tools({"ours": MCPServerConfig(url=url, token_env="OUR_TOKEN", images={"files": "data_url"})}))
    assert tools.names == ("open_image", "zoom")
    headers = {"Authorization": "Bearer open-sesame", "Accept": "application/json, text/event-stream"}
    ping = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    answer = httpx2.post(url, json=ping, headers={**headers, "Host": "evil.example"})
    assert answer.status_code == 421
    # And our own client can use our own server: an image goes there by its index, and its zoom comes back.
    scan = MedicalImage(pixels=PIXELS)
    zoomed = tools.run(ToolCall(name="zoom", arguments={**HALF, "files": [0]}), [scan])
    assert zoomed.images[0].size == (299, 448)
    wrong = tools.run(ToolCall(name="zoom", arguments={**HALF, "files": [0], "image": 3}), [scan]).error
    assert wrong.type is ToolErrorType.FAILED
    assert "There is no image 3" in wrong.message
    tools.tools[0].function.remote.close()


def server(*arguments):
    return subprocess.run(
        [sys.executable, *SERVER, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300
    )


def test_help_names_every_option():
    ended = server("--help")
    assert ended.returncode == 0
    for option in ("--root", "--tools", "--transport", "--host", "--port", "--token-env", "--view-size", "--timeout"):
        assert option in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--root", "no-such-folder"], "--root no-such-folder is no folder"),
        (["--tools", "zom"], "did you mean 'zoom'"),
        (["--transport", "http", "--host", "0.0.0.0"], "give --token-env"),
        (["--token-env", "NO_SUCH_VARIABLE"], "that environment variable is empty"),
    ],
)
def test_a_wrong_option_is_one_sentence(arguments, said):
    ended = server(*arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
