"""The tool `read_text` with its real weights, and the warning of names burned in."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from medvista.imaging import crop
from medvista.tools import find_tool
from medvista.tools.burned_in_text import identifiers, warn_of_identifiers
from medvista.types import MedicalImage, VQASample

pytest.importorskip("rapidocr", reason="pip install medvista[tools]")


def written(*lines, size=(420, 240), depth=np.uint8):
    """A dark picture with lines of bright text: its image, and the box of each line."""
    picture = Image.new("L", size, 20)
    pen, boxes = ImageDraw.Draw(picture), []
    for place, line in lines:
        font = ImageFont.load_default(size=26)
        pen.text(place, line, fill=235, font=font)
        boxes.append(pen.textbbox(place, line, font=font))
    pixels = np.asarray(picture).astype(depth) * (100 if depth is np.uint16 else 1)
    return MedicalImage(pixels=pixels), boxes


@pytest.mark.slow
def test_lines_are_read_at_their_place_on_the_source_whatever_the_depth():
    image, boxes = written(((30, 20), "LEFT"), ((200, 180), "PORTABLE 12"), depth=np.uint16)
    tool = find_tool("read_text")
    for images, index in (([image], 0), ([image, crop(image, (20, 10, 400, 230))], 1)):
        result = tool(images, image=index)
        assert "LEFT" in result.text
        assert "PORTABLE 12" in result.text
        for region, box in zip(result.regions, boxes, strict=True):
            np.testing.assert_allclose(region.box, box, atol=8)
    assert result.data["lines"] == 2


@pytest.mark.slow
def test_no_text_is_said():
    result = find_tool("read_text")([MedicalImage(pixels=np.full((100, 100), 90, dtype=np.uint8))])
    assert result.text == "No legible text on image 0."


@pytest.mark.parametrize(
    ("line", "kinds"),
    [
        ("DOE^JANE", ("name",)),
        ("Doe, Jane", ("name",)),
        ("Patient: Jane", ("name",)),
        ("Dr. Miller", ("name",)),
        ("14/03/2011", ("date",)),
        ("2011-03-14", ("date",)),
        ("20110314", ("date",)),
        ("14 Mar 2011", ("date",)),
        ("MAR 14, 2011", ("date",)),
        ("MRN 0044-17", ("record number",)),
        ("ID: A12", ("record number",)),
        ("Acc# 99812", ("record number",)),
        ("00451278", ("record number",)),
        ("DOB 1.2.1960", ("age or sex", "date")),
        ("Sex: F", ("age or sex",)),
        ("64 yo", ("age or sex",)),
        ("ST MARY HOSPITAL", ("institution",)),
    ],
)
def test_what_identifies_a_patient_is_recognised(line, kinds):
    found = identifiers([line])
    assert set(kinds) <= set(found)


@pytest.mark.parametrize(
    "line",
    [
        "L",
        "R",
        "LEFT",
        "AP ERECT",
        "PORTABLE",
        "120 kV",
        "W 400 L 40",
        "5.0 mm",
        "T2 FLAIR",
        "Im: 12/64",
        "+C",
        "SUPINE",
    ]
    + ["10 cm", "FOV 24.0", "TR 2500 TE 90", "Se 3", "512 x 512"],
)
def test_what_a_scanner_prints_is_no_identifier(line):
    assert identifiers([line]) == ()


def sample(name, image):
    return VQASample(id=name, benchmark="b", split="test", question="?", answers=("a",), images=(image,), group_id=name)


@pytest.mark.slow
def test_a_warning_names_images_and_kinds_and_never_the_text(caplog):
    named, _ = written(((30, 20), "DOE^JANE"), ((30, 100), "14/03/2011"))
    clean, _ = written(((30, 20), "LEFT"))
    with caplog.at_level(logging.WARNING):
        found = warn_of_identifiers([sample("q1", named), sample("q2", clean)])
    assert set(found) == {"q1, image 0"}
    assert "date" in found["q1, image 0"]
    assert "1 of 2 images" in caplog.text
    assert "q1, image 0" in caplog.text
    assert "JANE" not in caplog.text
    assert "2011" not in caplog.text
    caplog.clear()
    assert warn_of_identifiers([sample("q2", clean)]) == {}
    assert caplog.text == ""


@pytest.mark.slow
def test_only_so_many_images_are_looked_at(caplog):
    clean = [MedicalImage(pixels=np.full((40, 40), index, dtype=np.uint8)) for index in range(5)]
    assert warn_of_identifiers([sample(str(index), image) for index, image in enumerate(clean)], limit=2) == {}
