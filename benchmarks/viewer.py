"""How smooth the viewer is: thousands of episodes, written as a run writes them, opened in a headless Chromium.

The episodes are played in the environment on phantoms, by a scripted expert and by a guesser that gives the answers of
other questions; each has the token stream that evaluations keep. What is measured, from disk (``file://``) and with a
cold browser:

* ``write_s``: the viewer is written;
* ``first_list_ms``: from opening the page to the first frame with its list;
* ``filter_ms``: from a change of a filter to the next frame, the slowest of several;
* ``open_ms``: from a key to the next episode on the page, the slowest of thirty;
* ``frame_ms``: between two frames while the whole list is scrolled, the 95th percentile.

    python -m benchmarks.viewer
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from benchmarks.chromium import Page, find_chromium, open_chromium
from medvista.data.expert import ScriptedExpert
from medvista.data.phantom_vqa import phantom_samples
from medvista.data.trajectories import write_trajectories
from medvista.envs import MedicalVQAEnv
from medvista.evaluation.viewer import find_sources, write_viewer
from medvista.types import TokenStream, Trajectory, VQASample

QUESTIONS = 4  # per phantom
VIEW_SIZE = 64  # pixels
TOKENS = 200  # of an episode's stream, as long as those of a general model with short thoughts

FILTERS: tuple[dict[str, str], ...] = (
    {"answer": "wrong"},
    {"tool": "+zoom"},
    {"text": "nodule"},
    {"from": "1"},
    {"arm": "guesser"},
    {},
)

_FRAME = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
_FILTER = """(async (values) => {
  for (const field of app.form.elements) if (field.name) field.value = values[field.name] ?? "";
  const start = performance.now();
  app.form.dispatchEvent(new Event("input", { bubbles: true }));
  return (await FRAME) - start;
})""".replace("FRAME", _FRAME)
_OPEN = """(async () => {
  const start = performance.now(), before = document.querySelector("#episodes .episode");
  app.pick(app.list.selected + 1);
  while (document.querySelector("#episodes .episode") === before) await new Promise((next) => setTimeout(next));
  return (await FRAME) - start;
})()""".replace("FRAME", _FRAME)
_SCROLL = """(async (frames) => {
  const list = app.list.viewport, step = (list.scrollHeight - list.clientHeight) / frames, times = [];
  let last = await FRAME;
  for (let frame = 1; frame <= frames; frame++) {
    list.scrollTop = frame * step;
    const now = await new Promise((done) => requestAnimationFrame(() => done(performance.now())));
    times.push(now - last);
    last = now;
  }
  return times.sort((a, b) => a - b)[Math.floor(0.95 * frames)];
})""".replace("FRAME", _FRAME)


def play(samples: Sequence[VQASample], plans: Sequence[Sequence[str]]) -> Iterator[Trajectory]:
    """The episodes in which each sample is met with its planned turns."""
    env = MedicalVQAEnv(samples, view_size=VIEW_SIZE)
    for sample, plan in zip(samples, plans, strict=True):
        env.reset(seed=0, options={"sample": sample})
        for text in plan:
            env.step(text)
        yield env.trajectory


def write_run(folder: Path, count: int) -> None:
    """A run of `count` episodes in two arms on the same questions, `QUESTIONS` about each picture."""
    samples = phantom_samples("test", images=math.ceil(count / 2 / QUESTIONS))
    expert = ScriptedExpert()
    plans = {
        "expert": [expert.plan(sample, 0) for sample in samples],
        "guesser": [[f"<answer>{other.answers[0]}</answer>"] for other in samples[4:] + samples[:4]],
    }
    for arm, texts in plans.items():
        path = folder / "trajectories" / "test" / f"phantom-{arm}-greedy.jsonl"
        played = islice(play(samples, texts), count // len(plans))
        write_trajectories(path, map(_with_tokens, played), tokens=True)


def measure(page: Page, address: str) -> dict[str, float]:
    """What is measured of a viewer on disk."""
    page.open(address)
    page.wait_for("performance.getEntriesByName('first list').length && document.querySelector('.episode')")
    first = page.run("performance.getEntriesByName('first list')[0].startTime")
    opened = [page.run(_OPEN) for _ in range(30)]
    filtered = [page.run(f"{_FILTER}({json.dumps(values)})") for values in FILTERS]
    frame = page.run(f"{_SCROLL}(120)")
    return {
        "first_list_ms": first,
        "filter_ms": max(filtered),
        "open_ms": max(opened),
        "frame_ms": frame,
        "rows_in_page": page.run("document.querySelectorAll('#list [role=option]').length"),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns 0, 2 where there is no Chromium."""
    options = _parser().parse_args(argv)
    if find_chromium() is None:
        print("error: no chromium, chromium-browser or google-chrome is on the path", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        write_run(run, options.episodes)
        start = time.perf_counter()
        address = write_viewer(Path(folder) / "viewer", find_sources(run, "run")).as_uri()
        seconds = time.perf_counter() - start
        with open_chromium() as page:
            measured = measure(page, address)
    numbers = {"episodes": options.episodes, "write_s": seconds, **measured}
    for name, value in numbers.items():
        print(f"{name:<16}{value:>10.1f}")
    print(json.dumps({name: round(value, 1) for name, value in numbers.items()}))
    return 0


def _with_tokens(episode: Trajectory) -> Trajectory:
    """The episode with a token stream in which every turn was sampled, as an engine leaves it."""
    ids = tuple(range(TOKENS))
    sampled = tuple(token % (TOKENS // 4) > 0 for token in ids)
    log_probs = tuple(-math.log1p(token) if drawn else 0.0 for token, drawn in zip(ids, sampled, strict=True))
    return replace(episode, stream=TokenStream(token_ids=ids, loss_mask=sampled, log_probs=log_probs))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.viewer", description="How smooth the viewer is.")
    parser.add_argument("--episodes", type=int, default=5000, help="how many (%(default)s)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
