"""Every notebook runs from its first cell to its last, and says what is stored in it.

After a change that shows in a notebook: ``REFRESH_NOTEBOOKS=1 python -m pytest tests/test_notebooks.py`` stores anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
import pytest
from _pytest.mark import ParameterSet
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
_TRAINS = ("04_read_a_run", "05_ablations", "06_train")  # a run, or several
_TIMEOUT = 300  # seconds for a cell, of which an idle machine needs a fraction


def execute(path: Path) -> NotebookNode:
    """The notebook with fresh outputs, and without what differs from run to run: times, versions, warnings."""
    notebook = nbformat.read(path, as_version=4)
    metadata = {"kernelspec": notebook.metadata.kernelspec, "language_info": {"name": "python"}}
    where = {"metadata": {"path": str(ROOT)}}
    NotebookClient(notebook, timeout=_TIMEOUT, record_timing=False, resources=where).execute()
    notebook.metadata = nbformat.from_dict(metadata)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def words_printed(notebook: NotebookNode) -> list[str]:
    """What each code cell prints, without its numbers: their last digit may differ from one machine to another."""
    printed = (
        "".join(output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stdout")
        for cell in notebook.cells
        if cell.cell_type == "code"
    )
    return [re.sub(r"-?\d+(\.\d+)?", "#", text) for text in printed]


def marked(path: Path) -> ParameterSet:
    return pytest.param(path, id=path.name, marks=pytest.mark.slow if path.stem in _TRAINS else ())


@pytest.mark.parametrize("path", [marked(path) for path in NOTEBOOKS])
def test_a_notebook_runs_and_prints_what_is_stored_in_it(path: Path) -> None:
    fresh = execute(path)
    if os.environ.get("REFRESH_NOTEBOOKS") == "1":
        nbformat.write(fresh, path)
    assert words_printed(fresh) == words_printed(nbformat.read(path, as_version=4))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_stored_notebook_is_light(path: Path) -> None:
    assert path.stat().st_size < 400_000
