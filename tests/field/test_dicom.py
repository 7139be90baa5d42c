"""DICOM files as people report them from the field, each beside one that is right, or by value."""

from pathlib import Path

import numpy as np
import pytest

from medvista.imaging import read_image, to_display
from medvista.notices import NOTICES
from medvista.tools import Toolbox
from medvista.types import ToolCall, Window

FOLDER = Path(__file__).parent / "dicom"
TOOLBOX = Toolbox.from_names(["roi_statistics", "window"])


def read(name):
    return read_image(FOLDER / f"{name}.dcm")


@pytest.mark.parametrize(
    ("odd", "right"),
    [("pal8in16", "pal8"), ("implicit", "explicit"), ("agfa", "control"), ("j2k_overlay", "native")],
)
def test_the_odd_file_is_shown_as_the_right_one(odd, right):
    shown, wanted = read(odd), read(right)
    assert np.array_equal(shown.pixels, wanted.pixels)
    assert np.array_equal(to_display(shown), to_display(wanted))
    assert len(np.unique(to_display(shown))) > 100


def test_overlay_bits_are_no_hounsfield_units():
    assert read("j2k_overlay").pixels.max() <= 3071


def test_padding_is_out_of_display_statistics_and_windows():
    image = read("ct_padding")
    padding = np.isnan(image.pixels)
    assert padding.sum() == 1268
    assert (to_display(image)[padding] == 0).all()
    whole = ToolCall(name="roi_statistics", arguments={"bbox_2d": [0, 0, 1000, 1000]})
    measured = TOOLBOX.run(whole, [image]).data
    assert (measured["min_hu"], measured["max_hu"]) == (42, 101)
    call = ToolCall(name="window", arguments={"percentiles": [0, 100]})
    assert TOOLBOX.run(call, [image]).images[0].window == Window(centre=71.5, width=59)


def test_a_data_set_without_group_2_is_read_and_said_to_be_guessed():
    NOTICES.clear()
    image = read("explicit_bare")
    assert (image.modality, image.size, image.pixels.max()) == ("MR", (48, 32), 4095)
    (said,) = NOTICES.collected()
    assert "do not name their encoding" in said.what
    assert said.examples == (str(FOLDER / "explicit_bare.dcm"),)


def test_float_pixels_are_read_whatever_the_modality():
    ct, mr = read("CT"), read("MR")
    assert ct.pixels.dtype == np.float32
    assert np.array_equal(ct.pixels, mr.pixels)
    assert (ct.window, mr.window) == (Window(centre=40, width=400), None)
