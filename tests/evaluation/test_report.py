"""report.html: one page that asks for nothing, escapes everything, and draws boxes where they are."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from medvista.evaluation.numbers.results import Results
from medvista.evaluation.page.curves import Curves
from medvista.evaluation.page.episode_cards import data_uri, episode_card
from medvista.evaluation.page.report import render_report, write_report
from medvista.notices import Notice
from medvista.types import MedicalImage, Observation, Region, Trajectory

Episodes = dict[str, list[Trajectory]]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
VOID = {"meta", "img", "br", "rect", "link", "input"}


@pytest.fixture(scope="module")
def page(results: Results, curves: Curves, trajectories: Episodes, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("run") / "report.html"
    write_report(path, results, curves, trajectories, notes=["the <b>pre-stage</b> saw dense labels"])
    return path.read_text(encoding="utf-8")


class Balance(HTMLParser):
    """Fails on a tag that closes another than the one last opened; collects attributes on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: str) -> Balance:
    parser = Balance()
    parser.feed(page)
    return parser


def test_the_headline_shows_the_p_value_that_is_corrected_for_all_tests(results: Results) -> None:
    first = replace(results.comparisons[0], p_value=0.016, p_holm=0.27)
    assert "; p = 0.27, corrected<br>" in render_report(replace(results, comparisons=(first,)), {}, [])
    alone = replace(first, p_holm=None)
    assert "; p = 0.016<br>" in render_report(replace(results, comparisons=(alone,)), {}, [])


def test_the_page_asks_for_nothing_outside_itself(page: str) -> None:
    assert not re.search(r"https?://|@import|url\(", page)
    for tag, name, value in parsed(page).attributes:
        if name in ("src", "srcset", "href", "data", "action"):
            beside = tag == "a" and not re.match(r"[a-z]+:|/|\.\.", value)  # a file of the run, for whoever follows it
            assert beside or value.startswith(("data:image/png;base64,", "data:text/csv;")), (tag, name, value[:40])


def test_the_page_is_well_formed(page: str) -> None:
    assert parsed(page).open == []


def test_what_the_model_wrote_is_text_and_never_markup(page: str) -> None:
    assert "&lt;script&gt;alert(" in page
    assert page.count("<script") == 1  # the page's own
    assert "&lt;b&gt;pre-stage&lt;/b&gt;" in page


def test_the_first_episode_is_a_right_answer_after_a_look_of_the_arm_that_the_run_is_about(
    results: Results, trajectories: Episodes, tmp_path: Path
) -> None:
    with_baseline_first = {"direct": trajectories["direct"], "sft_rl": [*reversed(trajectories["sft_rl"])]}
    write_report(tmp_path / "r.html", results, {}, with_baseline_first)
    shown = re.findall(r'class="episode" data-arm="(\w+)" data-right="(\w+)"', (tmp_path / "r.html").read_text("utf-8"))
    assert shown == [("sft_rl", "yes"), ("sft_rl", "no"), *[("sft_rl", "yes")] * 2, ("direct", "yes"), ("direct", "no")]


def test_only_the_headline_stands_open(page: str) -> None:
    folded = re.findall(r'<details class="section" id="(\w+)">', page)
    assert folded == ["arms", "comparisons", "learning", "run"]
    assert [f"#{name}" for name in folded] == re.findall(r'<li><a href="(#\w+)">', page)
    headline = page[: page.index('<details class="section"')]
    assert "Accuracy on questions that need a look, greedy" in headline
    assert headline.count("<table>") == 1
    assert headline.count('class="episode"') == page.count('class="episode"')


def test_each_table_can_be_had_as_csv_from_the_page_and_from_a_file(
    page: str, results: Results, tmp_path: Path
) -> None:
    write_report(tmp_path / "report.html", results, {}, {})
    links = re.findall(r'download="([\w-]+)\.csv" href="data:text/csv;charset=utf-8,([^"]+)"', page)
    assert len(links) == page.count("<table>") == len(list((tmp_path / "tables").iterdir()))
    for name, text in links:
        assert unquote(text) == (tmp_path / "tables" / f"{name}.csv").read_text()
    (line,) = [line for line in unquote(dict(links)["arms-phantom-greedy"]).splitlines() if line.startswith("sft_rl,")]
    assert line.startswith("sft_rl,89.6,87.9,91.3,89,85,93,")


def test_a_warning_stands_before_every_number(results: Results) -> None:
    said = "Every reply of <sft> was empty."
    page = render_report(replace(results, warnings=(said,)), {}, [])
    assert page.index("Every reply of &lt;sft&gt; was empty.") < page.index("points")
    assert "Some numbers here may mean nothing" not in render_report(results, {}, [])


def test_the_page_says_what_ran_and_where(results: Results) -> None:
    known = replace(
        results,
        overrides=("rl.steps=100",),
        environment={"commit": "0123abcd", "clean": False, "device": "cpu", "packages": {"torch": "2.13.0"}},
        notices=(Notice(what="pictures were shown on white", count=2, examples=("/data/rad/a.png", "b.csv, row 3/4")),),
    )
    page = render_report(known, {}, [])
    for said in ("rl.steps=100", "0123abcd, with uncommitted changes", "<dd>2.13.0</dd>", "&#34;steps&#34;: 100"):
        assert said in page
    assert "pictures were shown on white: 2 (a.png, b.csv, row 3/4)" in page


def test_links_lead_to_the_files_that_are_there_and_to_no_other(results: Results, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("{}")
    (tmp_path / "tensorboard").mkdir()
    write_report(tmp_path / "report.html", results, {}, {})
    links = re.findall(r'<dt><a href="([^"#]+)">', (tmp_path / "report.html").read_text("utf-8"))
    assert links == ["results.json", "arms.svg", "tables/", "tensorboard/"]


def test_every_arm_family_and_stage_is_there(
    page: str, results: Results, curves: Curves, trajectories: Episodes
) -> None:
    for name in (*results.arms, *results.families("phantom"), *curves):
        assert name.replace("_", " ") in page or name in page
    assert page.count('class="episode"') == sum(map(len, trajectories.values()))
    assert "For research, not for clinical decisions." in page


def test_every_picture_has_words(page: str) -> None:
    pictures = [tag for tag, name, _ in parsed(page).attributes if tag == "img" and name == "src"]
    alts = [value for tag, name, value in parsed(page).attributes if tag == "img" and name == "alt"]
    assert len(alts) == len(pictures) > 8
    assert all(alts)


def test_boxes_are_drawn_in_the_pixels_of_the_view(trajectories: Episodes) -> None:
    trajectory = trajectories["sft_rl"][0]
    card = episode_card("sft_rl", trajectory)
    evidence, look = card.pictures[0].outlines
    x1, y1, *_ = trajectory.turns[0].result.regions[0].box  # type: ignore[union-attr]
    # The overview is the 448 x 448 source at 64 x 64: a seventh.
    assert (look.x, look.y, look.width, look.height) == pytest.approx((x1 / 7, y1 / 7, 64 / 7, 64 / 7))
    assert (look.kind, look.label, evidence.kind) == ("look", "1", "evidence")
    assert evidence.width == pytest.approx(2.0)  # 14 source pixels


def test_the_evidence_is_also_drawn_on_the_crop(trajectories: Episodes) -> None:
    trajectory = trajectories["sft_rl"][0]
    card = episode_card("sft_rl", trajectory)
    (outline,) = card.steps[0].pictures[0].outlines
    left, top = trajectory.turns[0].result.regions[0].box[:2]  # type: ignore[union-attr]
    lesion = trajectory.sample.regions[0].box
    # 64 source pixels at 64 x 64: the crop is only shifted.
    assert (outline.x, outline.y) == pytest.approx((lesion[0] - left, lesion[1] - top))


def test_a_box_is_drawn_only_on_the_image_it_belongs_to(trajectories: Episodes) -> None:
    trajectory = trajectories["direct"][0]
    first = trajectory.observation.images[0]
    second = replace(first, source=1)
    sample = replace(trajectory.sample, regions=(Region(box=(7.0, 7.0, 70.0, 70.0), image=1),))
    both = replace(trajectory, sample=sample, observation=Observation(text="", images=(first, second)))
    card = episode_card("direct", both)
    assert [len(shown.outlines) for shown in card.pictures] == [0, 1]


def test_the_box_of_the_page_is_the_box_of_the_look(page: str, trajectories: Episodes) -> None:
    x1, y1, *_ = trajectories["sft_rl"][0].turns[0].result.regions[0].box  # type: ignore[union-attr]
    assert f'<rect class="line" x="{x1 / 7:.2f}" y="{y1 / 7:.2f}" width="9.14" height="9.14"/>' in page


def test_a_picture_holds_the_pixels_that_were_shown() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    uri = data_uri(MedicalImage(pixels=pixels))
    decoded = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))
    np.testing.assert_array_equal(np.array(decoded), pixels)


def test_answers_are_judged_by_exact_match_unless_told_otherwise(
    results: Results, trajectories: Episodes, tmp_path: Path
) -> None:
    def verdicts(**options: object) -> list[str]:
        write_report(tmp_path / "r.html", results, {}, trajectories, **options)  # type: ignore[arg-type]
        return re.findall(r'data-right="(\w+)"', (tmp_path / "r.html").read_text(encoding="utf-8"))

    assert verdicts() == ["yes", "no", "yes", "yes", "no", "no", "yes", "no"]
    assert set(verdicts(is_right=lambda _: False)) == {"no"}


def test_a_run_with_nothing_but_a_name_still_has_a_report(tmp_path: Path) -> None:
    write_report(tmp_path / "r.html", Results(experiment="empty", seeds=(3,), arms={}), {}, {})
    assert "<h1>empty</h1>" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_an_episode_without_images_or_turns_is_shown(results: Results, trajectories: Episodes, tmp_path: Path) -> None:
    bare = Trajectory(sample=trajectories["direct"][0].sample, observation=Observation(text="?"))
    write_report(tmp_path / "r.html", results, {}, {"direct": [bare]})
    assert "no answer" in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_filter_buttons_hide_the_others(page: str, tmp_path: Path) -> None:
    press = """<script>
      document.querySelector('#more-episodes').open = true;
      document.querySelector('[data-group=arm][data-value=direct]').click();
      document.querySelector('[data-group=right][data-value=no]').click();
      const shown = [...document.querySelectorAll('#more-episodes .episode')].filter(e => e.offsetParent);
      document.title = shown.map(e => e.dataset.arm)
        + '; ' + document.querySelector('.filters output').textContent;
    </script>"""
    path = tmp_path / "report.html"
    path.write_text(page.replace("</body>", press + "</body>"), encoding="utf-8")
    assert CHROMIUM is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run([CHROMIUM, *options, path.as_uri()], capture_output=True, text=True, timeout=60, check=True)
    assert "<title>direct; 1 of 6 shown</title>" in done.stdout
