"""The viewer's page as a person meets it: opened from disk in a headless Chromium, read back from what is on it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.chromium import Page, find_chromium, open_chromium
from medvista.data.trajectories import write_trajectories
from medvista.evaluation.numbers.results import Results
from medvista.evaluation.numbers.results_file import write_results
from medvista.evaluation.viewer import find_sources, write_viewer
from medvista.types import FinalAnswer, Trajectory

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no chromium or google-chrome is on the path")

Episodes = Mapping[str, Sequence[Trajectory]]
READY = "window.app && document.querySelector('#episodes .episode, #episodes .nothing')"


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with open_chromium() as page:
        yield page


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory, trajectories: Episodes, results: Results) -> str:
    """The address of a viewer of two runs: in the second, sft_rl answers everything wrong."""
    folder = tmp_path_factory.mktemp("runs")
    for arm, episodes in trajectories.items():
        write_trajectories(folder / "first" / "trajectories" / "test" / f"phantom-{arm}-greedy.jsonl", episodes)
    write_results(folder / "first" / "results.json", results)
    wrong = [_answering(episode, "spleen") for episode in trajectories["sft_rl"]]
    write_trajectories(folder / "second" / "trajectories" / "test" / "phantom-sft_rl-greedy.jsonl", wrong)
    sources = [source for name in ("first", "second") for source in find_sources(folder / name, name)]
    return write_viewer(folder / "viewer", sources).as_uri()


def _answering(episode: Trajectory, answer: str) -> Trajectory:
    last = replace(episode.turns[-1], action=FinalAnswer(text=answer))
    return replace(episode, turns=(*episode.turns[:-1], last))


def opened(browser: Page, address: str, **options: int | bool) -> Page:
    browser.open(address, **options)  # type: ignore[arg-type]
    browser.wait_for(READY)
    return browser


def listed(page: Page) -> list[str]:
    """The questions in the list."""
    return page.run("[...document.querySelectorAll('[role=option] .question')].map((row) => row.textContent)")


def choose(page: Page, **values: str) -> str:
    """Choose values in the form, as a person does; what the page then says it shows."""
    page.run(
        f"""for (const [name, value] of Object.entries({json.dumps(values)})) {{
              app.form.elements[name].value = value;
              app.form.elements[name].dispatchEvent(new Event("input", {{ bubbles: true }}));
            }}"""
    )
    return page.run("document.getElementById('status').textContent")


def test_the_list_shows_every_episode_and_the_first_is_open(browser: Page, viewer: str) -> None:
    page = opened(browser, f"{viewer}#run=first&arm=sft_rl")
    assert listed(page)[:2] == ["What kind of nodule is it?"] * 2
    assert page.run("document.getElementById('status').textContent") == "4 of 12 episodes, 75 % right"
    assert page.run("document.querySelector('.episode h2').textContent") == "What kind of nodule is it?"
    assert page.run("document.querySelectorAll('[role=option][aria-selected=true]').length") == 1


def test_filters_leave_what_fits(browser: Page, viewer: str) -> None:
    page = opened(browser, f"{viewer}#run=first")
    assert choose(page) == "8 of 12 episodes, 50 % right"
    assert choose(page, answer="wrong").startswith("4 of 12")
    assert choose(page, answer="none").startswith("1 of 12")
    assert choose(page, answer="", tool="+zoom").startswith("5 of 12")
    assert choose(page, tool="failed").startswith("1 of 12")
    assert choose(page, tool="none").startswith("3 of 12")
    assert choose(page, tool="", **{"from": "1.15"}).startswith("3 of 12")
    assert choose(page, to="0.5").startswith("0 of 12")
    assert page.run("document.querySelector('#episodes').textContent") == "No episode fits these filters."
    assert choose(page, to="", text="LUNG", **{"from": ""}).startswith("3 of 12")  # two questions and an answer
    assert choose(page, text="", arm="direct").startswith("2 of 12")


def test_boxes_lie_on_the_pixels_that_were_looked_at(browser: Page, viewer: str, trajectories: Episodes) -> None:
    page = opened(browser, f"{viewer}#run=first&arm=sft_rl")
    result = trajectories["sft_rl"][0].turns[0].result
    assert result is not None
    x1, y1, x2, y2 = result.regions[0].box  # source pixels; the view is a seventh of its 448 x 448
    box = """(() => {
      const picture = document.querySelector(".source-images .picture").getBoundingClientRect();
      const line = document.querySelector(".source-images .look .line").getBoundingClientRect();
      const view = (distance) => distance * 64 / picture.width;
      return [line.left - picture.left, line.top - picture.top, line.width, line.height].map(view);
    })()"""
    on_screen = page.run(box)
    assert on_screen == pytest.approx([x1 / 7, y1 / 7, (x2 - x1) / 7, (y2 - y1) / 7], abs=0.05)
    page.wait_for("document.querySelector('.source-images img').naturalWidth === 64")
    assert page.run("document.querySelectorAll('.source-images .evidence .line').length") == 1


def test_crops_thoughts_results_and_rewards_stand_in_order(browser: Page, viewer: str) -> None:
    page = opened(browser, f"{viewer}#run=first&arm=sft_rl&text=phantom-test-7")
    assert page.run("[...document.querySelectorAll('.step .thought')].map((t) => t.textContent)")[:2] == [
        "first the right one",
        "then the left one",
    ]
    assert page.run("[...document.querySelectorAll('.step')].map((s) => s.querySelectorAll('.shown img').length)") == [
        1,
        1,
        0,
    ]
    widths = page.run("[...document.querySelectorAll('.shown .picture')].map((p) => p.getBoundingClientRect().width)")
    assert widths == [190, 190]
    assert page.run("[...document.querySelectorAll('.source-images .look title')].map((t) => t.textContent)") == [
        "1",
        "2",
    ]
    assert page.run("document.querySelector('.step .reply').textContent") == "zoom shows 64 x 64 source pixels"
    assert page.run("[...document.querySelectorAll('.reward tr')].map((row) => row.textContent)") == [
        "answer1",
        "tool0.1",
        "format0.1",
        "reward1.2",
    ]


def test_two_runs_stand_side_by_side_on_the_same_question(browser: Page, viewer: str) -> None:
    page = opened(browser, f"{viewer}#run=first&arm=sft_rl&beside=second%3A+sft_rl%2C+greedy", width=1400)
    assert page.run("[...document.querySelectorAll('.episode')].map((e) => e.getAttribute('aria-label'))") == [
        "first: sft_rl, greedy",
        "second: sft_rl, greedy",
    ]
    assert page.run("new Set([...document.querySelectorAll('.episode h2')].map((h) => h.textContent)).size") == 1
    tops = page.run("[...document.querySelectorAll('.episode')].map((e) => e.getBoundingClientRect().top)")
    assert tops[0] == tops[1]
    assert page.run("document.querySelector('[role=option]').querySelectorAll('.verdict').length") == 2
    assert choose(page, outcome="first").startswith("3 of 12")
    assert choose(page, outcome="wrong").startswith("1 of 12")
    assert choose(page, outcome="second").startswith("0 of 12")


def test_side_by_side_says_how_often_each_was_right_and_where_they_agree(browser: Page, viewer: str) -> None:
    page = opened(browser, f"{viewer}#run=first&arm=sft_rl&beside=second%3A+sft_rl%2C+greedy", width=1400)
    said = "[...document.querySelectorAll('#pair caption, #pair tbody tr, #pair li')].map((each) => each.textContent)"
    numbers = [
        "4 questions that both played",
        "first: sft_rl, greedy75.0 %100.0 %",
        "second: sft_rl, greedy0.0 %100.0 %",
        *("0 both right", "3 only the first", "0 only the second", "1 both wrong"),
    ]
    assert page.run(said) == numbers
    page.run("document.querySelector('#pair li:nth-child(4) button').click()")  # both wrong
    assert page.run("app.shown.length") == 1
    assert page.run(said) == numbers  # of all that both played, whatever is listed
    choose(page, outcome="", beside="")
    assert page.run("document.getElementById('pair').hidden") is True


def test_the_viewer_links_to_the_pages_of_its_runs(browser: Page, viewer: str) -> None:
    page = opened(browser, viewer)
    links = page.run("[...document.querySelectorAll('#files a')].map((a) => [a.textContent, a.getAttribute('href')])")
    assert links == [["first: results.json", "../first/results.json"]]


def test_two_runs_are_compared_from_the_start_in_the_arm_that_matters_most(browser: Page, viewer: str) -> None:
    page = opened(browser, viewer)
    assert page.run("Object.entries(app.chosen).join(' ')") == "run,first arm,sft_rl mode,greedy beside,3"
    assert page.run("document.querySelectorAll('.episode').length") == 2


def test_different_questions_under_one_id_are_not_taken_for_one(browser: Page, viewer: str) -> None:
    page = opened(browser, f"{viewer}#run=first&beside=first%3A+direct%2C+greedy")
    assert page.run("document.getElementById('status').textContent").startswith("0 of 12")


def test_keys_walk_through_episodes_and_their_steps(browser: Page, viewer: str) -> None:
    page = opened(browser, f"{viewer}#run=first&arm=sft_rl")
    for key, selected in [("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), ("ArrowDown", 2)]:
        page.press(key)
        assert page.run("app.list.selected") == selected
    page.wait_for("document.querySelector('.episode h2').textContent.startsWith('Are the two')")
    for key, marked in [("ArrowRight", "1"), ("ArrowRight", "2"), ("ArrowLeft", "1"), ("ArrowLeft", None)]:
        page.press(key)
        assert page.run("document.querySelector('.step.current')?.dataset.step ?? null") == marked
        assert page.run("document.querySelector('.source-images g.current')?.dataset.look ?? null") == marked
    page.press("/")
    assert page.run("document.activeElement.name") == "text"
    page.press("ArrowDown")  # in a field, arrows are the field's
    assert page.run("app.list.selected") == 2


def test_the_address_leads_back_to_the_episode(browser: Page, viewer: str) -> None:
    page = opened(browser, f"{viewer}#run=first&arm=sft_rl&tool=%2Bzoom")
    page.press("ArrowDown")
    page.wait_for("document.querySelector('.episode .link').textContent.includes('phantom-test-5')")
    link = page.run("document.querySelector('.episode .link a').href")
    page.wait_for(f"location.href === {json.dumps(link)}")
    again = opened(browser, link)
    assert again.run("app.open.sample.id") == "phantom-test-5"
    assert again.run("app.form.elements.tool.value") == "+zoom"


def test_what_a_model_writes_stays_text(browser: Page, tmp_path: Path, trajectories: Episodes) -> None:
    script, image = "<script>window.hacked = 1</script>", '<img src=x onerror="window.hacked = 2">'
    episode = trajectories["sft_rl"][0]
    call, answer = episode.turns
    hostile = replace(
        episode,
        sample=replace(
            episode.sample,
            question=f"{image} kind?",
            answers=("</script><script>window.hacked = 3</script>",),
            metadata={"family": script, "__proto__": {"hacked": 4}, image: script},
        ),
        turns=(
            replace(call, action=replace(call.action, name=image, thought=script, arguments={"__proto__": image})),
            replace(answer, action=FinalAnswer(text=f"{script}\u2028{image}", thought=image)),
        ),
    )
    run = tmp_path / "<b>run"
    write_trajectories(run / "trajectories" / "test" / "phantom-sft_rl-greedy.jsonl", [hostile])
    page = opened(browser, write_viewer(tmp_path / "viewer", find_sources(run, "<b>run")).as_uri())
    page.press("ArrowRight")
    assert page.run("document.querySelector('.step .thought').textContent") == script
    assert page.run("document.querySelector('.step.answer code').textContent") == f"{script}\u2028{image}"
    assert page.run("document.querySelector('.episode h2').textContent") == f"{image} kind?"
    assert page.run("document.querySelector('.step.call code').textContent").startswith(image)
    assert page.run("document.getElementById('title').textContent") == "<b>run"
    assert page.run("window.hacked ?? ({}).hacked ?? null") is None
    assert page.run("document.querySelectorAll('body script, [onerror], img:not([src^=\"images/\"])').length") == 0


def test_only_rows_in_sight_exist(browser: Page, tmp_path: Path, trajectories: Episodes) -> None:
    episode = trajectories["direct"][0]
    many = [replace(episode, sample=replace(episode.sample, id=f"q-{number}")) for number in range(500)]
    write_trajectories(tmp_path / "many.jsonl", many)
    page = opened(browser, write_viewer(tmp_path / "viewer", find_sources(tmp_path / "many.jsonl", "many")).as_uri())
    assert page.run("document.querySelectorAll('[role=option]').length") < 40
    page.run("document.getElementById('list').focus()")
    page.press("End")
    page.wait_for("location.hash.includes('q-499')")
    assert page.run("document.querySelector('[aria-selected=true]').getAttribute('aria-posinset')") == "500"
    row = page.run("document.querySelector('[aria-selected=true]').getBoundingClientRect().bottom")
    assert row <= page.run("document.getElementById('list').getBoundingClientRect().bottom") + 1


def test_a_viewer_that_was_not_written_to_its_end_says_so(
    browser: Page, tmp_path: Path, trajectories: Episodes
) -> None:
    write_trajectories(tmp_path / "a.jsonl", trajectories["direct"])
    address = write_viewer(tmp_path / "viewer", find_sources(tmp_path / "a.jsonl", "a"))
    (address.parent / "data" / "episodes-0.js").unlink()
    page = opened(browser, address.as_uri())
    assert "cannot be loaded" in page.run("document.querySelector('#episodes .nothing').textContent")
    (address.parent / "data" / "index.js").unlink()
    browser.open(address.as_uri())
    browser.wait_for("document.getElementById('status').textContent.startsWith('data/index.js is missing')")


CONTRAST = """(() => {
  const light = (channel) => (channel /= 255) <= 0.03928 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = parts(getComputedStyle(element).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *")) {
    const says = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!says || !element.checkVisibility() || element.closest("svg, noscript, .skip")) continue;
    const [a, b] = [luminance(parts(getComputedStyle(element).color)), luminance(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.push(`${element.className} ${ratio.toFixed(2)}: ${element.textContent.slice(0, 30)}`);
  }
  return faint;
})()"""


@pytest.mark.parametrize("dark", [False, True])
def test_texts_stand_out_in_light_and_dark(browser: Page, viewer: str, dark: bool) -> None:
    page = opened(browser, f"{viewer}#run=first&arm=sft_rl&text=phantom-test-9", dark=dark)
    page.press("ArrowRight")
    assert page.run(CONTRAST) == []


def test_every_control_has_a_name_and_a_phone_shows_one_pane(browser: Page, viewer: str) -> None:
    page = opened(browser, f"{viewer}#run=first&arm=sft_rl", width=400, height=800)
    nameless = """[...document.querySelectorAll("input, select, button, img, summary")].filter((control) =>
      !(control.getAttribute("aria-label") || control.hasAttribute("alt") || control.closest("label")
        || control.textContent.trim())).length"""
    assert page.run(nameless) == 0
    assert page.run("document.getElementById('detail').checkVisibility()") is False
    page.run("document.querySelector('[role=option]').click()")
    assert page.run("document.getElementById('browse').checkVisibility()") is False
    assert page.run("document.documentElement.scrollWidth") <= 400
    page.press("Escape")
    assert page.run("document.getElementById('browse').checkVisibility()") is True
