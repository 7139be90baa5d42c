"""Pickles are read for their values; none is executed."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medvista.data.benchmarks import read_benchmark
from medvista.data.pickled_values import read_pickled_values
from medvista.errors import UserError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(value=VALUES, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_values_are_read_as_pickle_reads_them(tmp_path_factory: Any, value: Any, protocol: int) -> None:
    path = tmp_path_factory.mktemp("pickle") / "values.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    assert read_pickled_values(path) == value


def test_shared_values_stay_shared(tmp_path: Path) -> None:
    image = {"name": "train_0001"}
    (tmp_path / "rows.pkl").write_bytes(pickle.dumps([image, image, ("train_0001", "train_0001")]))
    first, second, _ = read_pickled_values(tmp_path / "rows.pkl")
    assert first is second


class Malicious:
    """What an attacker pickles: unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_malicious_pickle_is_refused_and_not_executed(tmp_path: Path, protocol: int) -> None:
    path, trace = tmp_path / "pvqa/qas/test/test_qa.pkl", tmp_path / "trace"
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps([{"image": "test_0001", "question": Malicious(trace), "answer": "yes"}], protocol))
    with pytest.raises(UserError, match=r"does more than hold values.*it was not executed"):
        read_benchmark("path_vqa", tmp_path, "test")
    assert not trace.exists()
    pickle.loads(path.read_bytes())  # the attack works on those who unpickle
    assert trace.is_dir()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle",
        pickle.dumps([{"question": "What?"}])[:-5],
        b"\x80\x04a.",  # appends to nothing
        b"\x80\x04]\x94e.",  # takes what follows a mark that was never set
        b"\x80\x04h\x07.",  # recalls what was never stored
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.",  # a text of eight exabytes
        b"\x80\x04.",  # ends with nothing
        b"I1\nI2\na.",  # appends to a number
    ],
)
def test_a_damaged_pickle_is_described_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.pkl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"rows.pkl is not an undamaged pickle .*; place the official file again"):
        read_pickled_values(path)
