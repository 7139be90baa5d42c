"""What travels to a worker comes out as it went in."""

from __future__ import annotations

import gc
import os
import socket

import numpy as np
import pytest

from medvista.tools.executors.channel import Channel
from medvista.tools.executors.packing import APART_FROM, pack, unpack
from medvista.tools.executors.shared_arrays import SharedArray, map_array, read_array
from medvista.tools.per_array import PerArray
from medvista.types import MedicalImage


def test_large_arrays_travel_beside_the_pickle_and_small_ones_in_it():
    large, small = np.arange(APART_FROM, dtype=np.uint8), np.arange(10)
    data, arrays = pack({"large": [large, large], "small": small})
    assert len(arrays) == 1
    assert arrays[0] is large
    assert len(data) < 1000
    back = unpack(data, arrays)
    assert back["large"][0] is back["large"][1] is large
    assert np.array_equal(back["small"], small)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(60_000, dtype=np.int16).reshape(200, 300),
        np.arange(60_000, dtype=np.int16).reshape(200, 300)[::2, 10:250],  # a crop: not contiguous
        np.asfortranarray(np.arange(60_000, dtype=">f4").reshape(200, 300)),
        np.zeros((300, 400, 3), dtype=np.uint8),
        np.ones((300, 400), dtype=bool),
    ],
    ids=["plain", "crop", "fortran", "colour", "mask"],
)
@pytest.mark.parametrize("read", [map_array, read_array])
def test_an_array_in_shared_memory_has_the_same_values(array, read):
    shared = SharedArray(array)
    back = read(os.dup(shared.fd), shared.form)
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)
    assert back.flags.writeable == (read is read_array)


def test_shared_memory_ends_with_its_last_user():
    shared = SharedArray(np.ones(100_000))
    mapped = map_array(os.dup(shared.fd), shared.form)
    fd = shared.fd
    del shared
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    assert mapped.sum() == 100_000  # it is still mapped here


def test_messages_pass_a_channel_with_more_arrays_than_the_kernel_takes_at_once():
    here, there = (Channel(end) for end in socket.socketpair())
    arrays = [np.full(10, value) for value in range(150)]
    here.send(b"hello", [SharedArray(array) for array in arrays], timeout_s=10)
    data, back = there.receive(read_array, timeout_s=10)
    assert data == b"hello"
    assert [int(array[0]) for array in back] == list(range(150))
    assert there.open
    here.close()
    assert not there.open
    with pytest.raises(EOFError):
        there.receive(read_array)
    there.close()


def test_a_silent_other_side_is_waited_for_no_longer_than_allowed():
    here, there = (Channel(end) for end in socket.socketpair())
    with pytest.raises(TimeoutError):
        here.receive(read_array, timeout_s=0.02)
    with pytest.raises(TimeoutError):
        here.send(bytes(10_000_000), timeout_s=0.02)  # nobody reads it
    here.close()
    there.close()


def test_an_image_travels_whole():
    pixels = np.random.default_rng(0).integers(0, 4096, (300, 200)).astype(np.uint16)
    image = MedicalImage(pixels=pixels, modality="CT", spacing_mm=(0.5, 0.25), source=2, to_source=np.eye(3) * 2)
    back = unpack(*pack(image))
    assert np.array_equal(back.pixels, pixels)
    assert (back.modality, back.spacing_mm, back.source) == ("CT", (0.5, 0.25), 2)
    assert np.array_equal(back.to_source, image.to_source)


def test_what_was_computed_of_an_array_is_kept_while_it_lives():
    computed = []
    total = PerArray(lambda array: computed.append(1) or int(array.sum()))
    array, equal = np.ones(5), np.ones(5)
    assert [total(array), total(array), total(equal)] == [5, 5, 5]
    assert len(computed) == 2  # of each array once
    assert len(total) == 2
    del array
    gc.collect()
    assert len(total) == 1


def test_what_was_used_longest_ago_is_forgotten_where_there_is_too_much():
    kept = PerArray(lambda array: array.nbytes, max_bytes=100)
    arrays = [np.zeros(40, dtype=np.uint8) for _ in range(3)]
    kept(arrays[0]), kept(arrays[1])
    kept(arrays[0])
    kept(arrays[2])
    assert len(kept) == 2
    assert set(kept._kept) == {id(arrays[0]), id(arrays[2])}
    few = PerArray(lambda array: array.nbytes, max_count=2)
    for array in arrays:
        few(array)
    assert set(few._kept) == {id(arrays[1]), id(arrays[2])}
