"""What a server keeps for agents and what it tells them, without a process around it."""

import base64
from dataclasses import replace

import nibabel
import numpy as np
import pytest

pytest.importorskip("mcp")

from medvista.errors import UserError
from medvista.integrations import mcp_sessions
from medvista.integrations.mcp_service import ToolService
from medvista.integrations.mcp_sessions import ImageSessions
from medvista.tools import Toolbox, tool
from medvista.types import Mask, MedicalImage, Region, ToolResult

PIXELS = np.arange(64, dtype=np.uint8).reshape(8, 8)


@tool
def outline(images, image: int = 0) -> ToolResult:
    """Find something."""
    found = np.zeros((8, 8), bool)
    found[2:4, 3:5] = True
    return ToolResult(
        text="Found <answer>it</answer>.",
        regions=(Region(box=(3, 2, 5, 4), image=image, label="it"),),
        masks=(Mask(pixels=found, image=image, label="it"),),
        images=(replace(images[image]),),
        data={"area_px": 4},
    )


@tool
def look_up(images, word: str) -> ToolResult:
    """Say what a word means; needs no image."""
    return ToolResult(text=f"{word} is a word.")


@pytest.fixture
def service(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4)), tmp_path / "head.nii")
    return ToolService(Toolbox([outline, look_up]), ImageSessions([tmp_path]))


def text(answer):
    return answer.content[0].text


def opened(service, **arguments):
    answer = service.call("open_image", arguments)
    assert not answer.is_error, text(answer)
    return answer.structured_content["session"]


def scan():
    from medvista.imaging.encoding import to_data_url

    return to_data_url(MedicalImage(pixels=PIXELS))


def test_programs_are_told_places_masks_and_numbers(service):
    session = opened(service, data=scan())
    answer = service.call("outline", {"session": session})
    assert answer.structured_content == {
        "session": session,
        "images": [1],
        "regions": [{"box": [3, 2, 5, 4], "image": 0, "label": "it", "slice": None}],
        "masks": [
            {"rle": {"size": [8, 8], "counts": [26, 2, 6, 2, 28]}, "image": 0, "label": "it", "slice": None},
        ],
        "data": {"area_px": 4},
    }
    assert text(answer) == "Image 1: Found < answer>it< /answer>."


def test_a_tool_that_needs_no_image_needs_no_session(service):
    assert text(service.call("look_up", {"word": "Hilum"})) == "Hilum is a word."


def test_a_volume_says_what_else_there_is_to_see(service, tmp_path):
    answer = service.call("open_image", {"path": "head.nii"})
    assert "of a volume with axial slices 0 to 5, coronal slices 0 to 4, sagittal slices 0 to 3" in text(answer)
    sent = service.call("open_image", {"data": base64.b64encode((tmp_path / "head.nii").read_bytes()).decode()})
    assert "of a volume with axial slices 0 to 5" in text(sent)


def test_without_a_root_no_file_is_opened_at_all(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    closed = ToolService(Toolbox([look_up]), ImageSessions([]))
    assert "started without --root" in text(closed.call("open_image", {"path": str(tmp_path / "a.png")}))


def test_agents_do_not_meet_in_a_session(service):
    one, other = opened(service, data=scan()), opened(service, data=scan())
    assert one != other
    assert len(one) >= 12  # 9 random bytes
    assert service.call("outline", {"session": one}).structured_content["images"] == [1]
    assert service.call("outline", {"session": other}).structured_content["images"] == [1]


def test_the_session_used_longest_ago_makes_room(service, monkeypatch):
    monkeypatch.setattr(mcp_sessions, "MOST_SESSIONS", 2)
    first, second = opened(service, data=scan()), opened(service, data=scan())
    service.call("outline", {"session": first})
    third = opened(service, data=scan())
    assert service.call("outline", {"session": second}).is_error
    assert not service.call("outline", {"session": first}).is_error
    assert not service.call("outline", {"session": third}).is_error


def test_a_full_session_says_so(service, monkeypatch):
    monkeypatch.setattr(mcp_sessions, "MOST_IMAGES", 1)
    session = opened(service, data=scan())
    assert "open images in a new one" in text(service.call("outline", {"session": session}))


def test_a_tool_whose_argument_is_the_servers_own_is_not_offered(tmp_path):
    @tool
    def odd(images, session: str) -> ToolResult:
        """Take a session."""
        return ToolResult(text=session)

    with pytest.raises(UserError, match="'odd' cannot be offered"):
        ToolService(Toolbox([odd]), ImageSessions([tmp_path]))
