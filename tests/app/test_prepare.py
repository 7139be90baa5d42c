"""``python -m experiments.prepare`` fetches from a hub, checks, and says what to do where it cannot."""

from __future__ import annotations

import hashlib
import json
import runpy
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from medvista.app.commands.prepare import main

MADE = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "benchmark_forms.py"))
COMMIT = "0123456789abcdef0123456789abcdef01234567"
Hub = Callable[[str, Mapping[str, bytes]], str]


class HubHandler(BaseHTTPRequestHandler):
    """The part of the Hugging Face hub's protocol that a download needs: what is there, and each file."""

    repo: str
    files: Mapping[str, bytes]
    sums: Mapping[str, str]

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, body: bool) -> None:
        path = unquote(self.path.partition("?")[0])
        resolve = f"/datasets/{self.repo}/resolve/{COMMIT}/"
        name = path.removeprefix(resolve)
        if path == f"/api/datasets/{self.repo}/tree/{COMMIT}":
            self._send(json.dumps(self._tree()).encode(), "application/json", "tree", body)
        elif path.startswith(f"/api/datasets/{self.repo}"):
            self._send(json.dumps(self._info()).encode(), "application/json", "info", body)
        elif path.startswith(resolve) and name in self.files:
            self._send(self.files[name], "application/octet-stream", self.sums[name], body)
        else:
            self.send_error(404)

    def _info(self) -> dict[str, Any]:
        siblings = [
            {
                "rfilename": name,
                "size": len(content),
                "blobId": self.sums[name][:40],
                "lfs": {"sha256": self.sums[name], "size": len(content), "pointerSize": 130},
            }
            for name, content in self.files.items()
        ]
        return {"id": self.repo, "sha": COMMIT, "siblings": siblings, "private": False, "tags": [], "downloads": 0}

    def _tree(self) -> list[dict[str, Any]]:
        return [
            {
                "type": "file",
                "path": name,
                "oid": self.sums[name][:40],
                "size": len(content),
                "lfs": {"oid": self.sums[name], "size": len(content), "pointerSize": 130},
            }
            for name, content in self.files.items()
        ]

    def _send(self, content: bytes, kind: str, etag: str, body: bool) -> None:
        self.send_response(200)
        headers = {"Content-Type": kind, "Content-Length": len(content), "ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Keeps the tests' output clean."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Starts a hub with one dataset repository, and points `HF_ENDPOINT` to it."""
    servers = []

    def start(repo: str, files: Mapping[str, bytes], sums: Mapping[str, str] | None = None) -> str:
        sums = sums or {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        handler = type("Handler", (HubHandler,), {"repo": repo, "files": files, "sums": sums})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=partial(server.serve_forever, poll_interval=0.05), daemon=True).start()
        servers.append(server)
        url = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setenv("HF_ENDPOINT", url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        return url

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def last_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def files_of(form: str, folder: Path, below: str) -> dict[str, bytes]:
    """The files of a tiny benchmark, as a hub's repository holds them."""
    MADE["FORMS"][form][1](folder)
    return {str(p.relative_to(folder / below)): p.read_bytes() for p in (folder / below).rglob("*") if p.is_file()}


def test_a_benchmark_is_fetched_unpacked_and_checked(
    tmp_path: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    files = files_of("vqa_rad hub", tmp_path / "made", "vqa_rad/hub")
    hub("flaviagiammarino/vqa-rad", files)
    root = tmp_path / "data"
    assert main(["vqa_rad", f"data.root={root}"]) == 1  # what came is not what was published: it is tiny
    captured = capsys.readouterr()
    assert "problem: 3 / 1 questions, but 1,797 / 451 or 1,793 / 451 were published" in captured.err
    assert "2 checksums as the hub has them at revision 0123456" in captured.out
    assert json.loads(captured.out.splitlines()[-1]) == {
        "vqa_rad": {"questions": {"train": 3, "test": 1}, "images": 2, "train_test_image_overlap": 1}
    }
    manifest = json.loads((root / "vqa_rad/hub/prepared.json").read_text())
    assert (manifest["revision"], len(manifest["sha256"])) == (COMMIT, 2)


def test_archives_of_the_hub_become_folders(tmp_path: Path, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub("TsinghuaC3I/MedXpertQA", files_of("medxpertqa official", tmp_path / "made", "medxpertqa"))
    assert main(["medxpertqa_mm", f"data.root={tmp_path / 'data'}"]) == 1
    assert last_json(capsys)["medxpertqa_mm"]["questions"] == {"validation": 1, "test": 2}


def test_a_file_that_was_changed_on_the_way_is_refused(
    tmp_path: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    files = files_of("vqa_rad hub", tmp_path / "made", "vqa_rad/hub")
    hub("flaviagiammarino/vqa-rad", files, dict.fromkeys(files, "0" * 64))
    assert main(["vqa_rad", f"data.root={tmp_path / 'data'}"]) == 2
    assert "has another checksum than the hub's" in capsys.readouterr().err


def test_a_file_that_was_changed_later_is_a_problem(
    tmp_path: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub("flaviagiammarino/vqa-rad", files_of("vqa_rad hub", tmp_path / "made", "vqa_rad/hub"))
    main(["vqa_rad", f"data.root={tmp_path}"])
    parquet = next(tmp_path.glob("vqa_rad/hub/**/train-*.parquet"))
    parquet.write_bytes(b"changed")
    main(["vqa_rad", "--check", f"data.root={tmp_path}"])
    assert f"{parquet} has another checksum than the file published" in capsys.readouterr().err


def test_without_the_hub_it_says_what_to_place_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert main(["path_vqa", f"data.root={tmp_path / 'data'}"]) == 2
    error = capsys.readouterr().err
    assert "flaviagiammarino/path-vqa cannot be fetched" in error
    assert "without the hub, place path_vqa/pvqa/{qas,images}, as unzipped (github.com/UCSD-AI4H/PathVQA)" in error
    assert f"below {tmp_path / 'data'}" in error


@pytest.mark.parametrize(("asked", "code"), [(1999, 1), (2000, 0)])
def test_where_one_split_has_a_published_count_that_one_is_compared(
    tmp_path: Path, asked: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    MADE["pmc_vqa_first_version"](tmp_path)
    header, row = (tmp_path / "pmc_vqa/test_clean.csv").read_text().splitlines(keepends=True)
    (tmp_path / "pmc_vqa/test_clean.csv").write_text(header + row * asked)
    with zipfile.ZipFile(tmp_path / "pmc_vqa/images.zip") as archive:
        archive.extractall(tmp_path / "pmc_vqa")
    assert main(["pmc_vqa", "--check", f"data.root={tmp_path}"]) == code
    captured = capsys.readouterr()
    if code:
        assert "problem: 3 / 1,999 questions, but ? / 2,000 were published" in captured.err
    else:
        assert "3 / 2,000 questions; in test as published" in captured.out


def test_files_placed_by_hand_are_unpacked_without_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    MADE["mmmu_hub"](tmp_path)
    main(["mmmu_med", f"data.root={tmp_path}"])
    assert last_json(capsys)["mmmu_med"]["questions"] == {"validation": 5, "test": 10}


def test_checking_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    MADE["mmmu_hub"](tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main(["mmmu_med", "--check", f"data.root={tmp_path}"]) == 2
    assert sorted(tmp_path.rglob("*")) == before
    assert last_json(capsys) == {}


def test_leakage_is_reported_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    MADE["vqa_rad_public"](tmp_path)
    main(["vqa_rad", "--check", "--leakage", f"data.root={tmp_path}"])
    out = capsys.readouterr().out
    assert "vqa_rad test against vqa_rad train: 1 of 1 images were seen in training (1 identical, 0 alike)" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name at least one benchmark"),
        (["slak"], "there is no benchmark 'slak': did you mean 'slake'"),
        (["PathVQA"], "did you mean 'path_vqa'"),
        (["slake", "--chek"], "unknown argument '--chek'"),
        (["slake", "root=/data"], "unknown argument 'root'"),
        (["slake", "--check", "data.root=/nowhere"], "there is no data root /nowhere"),
    ],
)
def test_a_mistake_is_answered_in_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


@pytest.mark.data
def test_the_official_files_are_what_was_published(data_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vqa_rad", "slake", "slake_zh", "--check", f"data.root={data_root}"]) == 0
    assert last_json(capsys) == {
        "vqa_rad": {"questions": {"train": 1797, "test": 451}, "images": 315, "train_test_image_overlap": 202},
        "slake": {
            "questions": {"train": 4919, "validation": 1053, "test": 1061},
            "images": 642,
            "train_test_image_overlap": 0,
        },
        "slake_zh": {
            "questions": {"train": 4916, "validation": 1046, "test": 1033},
            "images": 642,
            "train_test_image_overlap": 0,
        },
    }
