"""The command line of the tools, and the page that shows them."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medvista.app.commands.tool_picture import MARGIN, PANEL, tool_picture
from medvista.app.commands.tools import describe_text, list_text, main
from medvista.tools import tool_names
from medvista.tools.suite import SUITE
from medvista.types import Mask, MedicalImage, Region, ToolResult

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tools.md").read_text(encoding="utf-8")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.png"
    Image.fromarray(np.arange(100 * 80, dtype=np.uint16).reshape(80, 100)).save(path)
    return path


def test_the_list_has_every_tool_with_what_it_does_or_what_it_needs():
    present, _, absent = list_text().partition("not available here:")
    assert present.startswith("zoom ")
    for name in tool_names():
        assert re.search(rf"^{name} +\S.*\.$", present, re.MULTILINE) or f"The tool {name} is not available" in absent


def test_the_command_silences_the_registry_for_itself_alone():
    registry = logging.getLogger("medvista.tools.registry")
    level = registry.level
    assert main(["describe", "zoom"]) == 0
    assert registry.level == level


def test_a_description_tells_people_and_models_what_a_tool_takes():
    text = describe_text("distance", {})
    assert "start (2 of (number from 0 to 1000); required): where the line begins" in text
    assert "image (integer from 0; default 0): index of the image" in text
    schema = json.loads(text.partition("as models are told:")[2])
    assert schema["function"]["name"] == "distance"


def test_a_run_prints_what_the_tool_says_and_saves_its_picture(scan, tmp_path, capsys):
    saved = tmp_path / "pictures" / "zoom.png"
    assert main(["run", "zoom", str(scan), "bbox_2d=[0,0,500,500]", "--save", str(saved)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Zoom of image 0 at [0, 0, 500, 500].\n")
    assert str(saved) in printed
    with Image.open(saved) as picture:
        assert picture.width == 2 * PANEL + 3 * MARGIN  # what it was given, and what it returned


def test_numbers_are_printed_with_their_units(scan, tmp_path, capsys):
    arguments = ["start=[0,0]", "end=[1000,0]", "--save", str(tmp_path / "d.png")]
    assert main(["run", "distance", str(scan), *arguments]) == 0
    assert "  distance_px: 100\n" in capsys.readouterr().out


def test_several_files_are_images_by_index(scan, tmp_path, capsys):
    saved = tmp_path / "both.jpg"
    assert main(["run", "compare", str(scan), str(scan), "image=[0,1]", "--save", str(saved)]) == 0
    assert "(2) image 1" in capsys.readouterr().out
    assert saved.is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "zom", "x.png"], "no tool named 'zom'; did you mean 'zoom'?"),
        (["run", "zoom", "no_such.png", "bbox_2d=[0,0,9,9]"], "no image file no_such.png"),
        (["run", "zoom", "SCAN"], "The argument 'bbox_2d' is missing: the part to look at"),
        (["run", "zoom", "SCAN", "bbox_2d=[9,9,0,0]"], "x1 < x2"),
        (["run", "zoom", "SCAN", "bbox_2d=[0,0,900,900]", "image=3"], "There is no image 3"),
        (["run", "zoom", "SCAN", "bbox_2d=[0,0,900,900]", "options.size=3"], "takes no options, got size"),
        (["run", "window", "SCAN", "--save", "x.nonsense"], "cannot be saved as x.nonsense"),
        (["describe", "zom"], "did you mean 'zoom'?"),
    ],
)
def test_a_mistake_is_answered_by_one_sentence_and_exit_code_2(scan, capsys, arguments, said):
    assert main([str(scan) if argument == "SCAN" else argument for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["paint"], ["run"]])
def test_an_unknown_command_shows_the_usage(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: python -m experiments.tools" in capsys.readouterr().err


def test_a_picture_shows_boxes_masks_and_the_text():
    grey = MedicalImage(pixels=np.full((PANEL, PANEL), 100, np.uint8))
    mask = np.zeros((PANEL, PANEL), bool)
    mask[100:200, 100:200] = True

    def drawn(result):
        return np.asarray(tool_picture([grey], {}, result))[MARGIN : MARGIN + PANEL, MARGIN : MARGIN + PANEL]

    plain = drawn(ToolResult(text="nothing"))
    assert (plain == 100).all()
    outline = (drawn(ToolResult(masks=(Mask(pixels=mask),))) != 100).any(axis=2)
    assert outline.any()
    assert not outline[mask].any()  # what it encloses stays visible
    box = (drawn(ToolResult(regions=(Region(box=(100, 100, 200, 200)),))) != 100).any(axis=2)
    assert np.argwhere(box).min() >= 95
    elsewhere = Region(box=(100, 100, 200, 200), image=1)
    assert (drawn(ToolResult(regions=(elsewhere,))) == 100).all()


def test_without_images_the_picture_is_the_text():
    page = tool_picture([], {}, ToolResult(text="one\n" + "words " * 60))
    assert page.width == 2 * PANEL
    assert len(np.unique(np.asarray(page))) > 10


# ----------------------------------------------------------------------------------------------------------- docs/tools


@pytest.mark.parametrize("name", [entry.name for entry in SUITE])
def test_every_tool_of_the_suite_is_on_the_page_with_its_picture(name):
    assert f"| [`{name}`](#{name}) |" in PAGE
    section = PAGE.partition(f"\n### {name}\n")[2].partition("\n##")[0]
    if name == "ground":  # its weights come with no package
        assert section.strip().startswith("No picture here")
        return
    assert f"![{name}](images/tools/{name}.jpg)" in section
    picture = ROOT / "docs" / "images" / "tools" / f"{name}.jpg"
    assert picture.stat().st_size < 150_000


def test_the_example_of_a_tool_of_ones_own_prints_what_it_says():
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    done = subprocess.run([sys.executable, "-c", example], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [f"# {line}" for line in done.stdout.splitlines()] == [
        line for line in example.splitlines() if line.startswith("# ")
    ]


@pytest.mark.data
def test_a_picture_of_the_page_is_made_by_the_script_beside_it(data_root, tmp_path, monkeypatch):
    import runpy

    script = runpy.run_path(str(ROOT / "docs" / "images" / "tools.py"))
    monkeypatch.setenv("MEDVISTA_DATA", str(data_root))
    monkeypatch.setitem(script["main"].__globals__, "FOLDER", tmp_path)
    assert script["main"](["zoom", "mirror"]) == 0
    for name in ("zoom", "mirror"):
        with (
            Image.open(tmp_path / f"{name}.jpg") as fresh,
            Image.open(ROOT / f"docs/images/tools/{name}.jpg") as stored,
        ):
            assert fresh.size == stored.size
