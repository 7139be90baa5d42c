"""The card of a folder of demonstrations: what is in it, how it came to be, and what may be done with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from medvista.app.collecting.attempts import Attempt
from medvista.app.config.schema import ExperimentConfig
from medvista.app.config.sft_schema import DEMONSTRATIONS
from medvista.data.phantom_vqa import BENCHMARK as PHANTOM
from medvista.notices import NOTICES

CARD, MESSAGES = "README.md", "messages.jsonl"

# What the licences say that a set of demonstrations, which has the images and questions in it, inherits; as told on
# docs/benchmarks.md.
_LICENCES: Mapping[str, str] = {
    PHANTOM: "drawn by medvista: no patient, no medical image, no restriction beyond medvista's own licence",
    "vqa_rad": "CC0-1.0",
    "slake": "CC-BY-4.0",
    "slake_zh": "CC-BY-4.0",
    "path_vqa": "MIT by its hub card; the images belong to publishers",
    "pmc_vqa": "CC BY-SA",
    "pmc_vqa_full": "CC BY-SA",
    "pmc_vqa_panels": "CC BY-SA",
    "mmmu_med": "Apache-2.0; rights in the images vary",
    "mmmu_pro_med": "Apache-2.0; rights in the images vary",
    "medxpertqa_mm": "MIT",
}
_OF_YOUR_OWN = (
    "not known to medvista: that of your own files; share images of patients with nobody who may not see them"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a card tells beside the attempts."""

    teacher: str
    cost: str  # a line
    shared_images: Sequence[str]  # a sentence per pair of benchmarks on images that are test images, too
    complete: bool  # False: the collection was cut short


def dataset_card(config: ExperimentConfig, attempts: Sequence[Attempt], facts: Facts) -> str:
    """The card as Markdown, behind the YAML block in which the hub looks for the data files."""
    kept = [attempt for attempt in attempts if attempt.verdict == "kept"]
    sections = [
        _front(len(kept)),
        _opening(config, attempts, kept, facts),
        "## Acceptance\n\nEvery finished episode has one verdict, the first flaw that was found. All of them are in "
        "`attempts.jsonl`.\n\n" + _verdicts(attempts),
        _table("benchmark", _rates((attempt.benchmark, attempt) for attempt in attempts)),
        "An episode counts for every tool it called, and as *none* where it called none.\n\n"
        + _table("tool", _rates((tool, attempt) for attempt in attempts for tool in attempt.calls or ["none"])),
        _refined(kept),
        _made_with(config, facts),
        _hygiene(config, facts),
        _licence(attempts),
        _FILES,
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _front(kept: int) -> str:
    size = "n<1K" if kept < 1000 else "1K<n<10K" if kept < 10_000 else "10K<n<100K"
    return (
        "---\nlicense: other\ntask_categories:\n- visual-question-answering\n"
        f"size_categories:\n- {size}\nconfigs:\n- config_name: default\n  data_files: {MESSAGES}\n---"
    )


def _opening(config: ExperimentConfig, attempts: Sequence[Attempt], kept: Sequence[Attempt], facts: Facts) -> str:
    questions = {(attempt.benchmark, attempt.question) for attempt in kept}
    share = f" ({len(kept) / len(attempts):.0%})" if attempts else ""
    looked = "" if config.collect.look == "none" else ", looked with the tools at what they truly returned"
    cut = "" if facts.complete else "\n\n**The collection was cut short**; `resume=true` goes on with it."
    return (
        f"# {config.output_dir.name}: demonstrations for a cold start\n\n"
        f"{len(kept):,} episodes about {len(questions):,} questions, of {len(attempts):,} that {facts.teacher} played "
        f"in medvista's environment{share}. Each is in the turn grammar throughout{looked}, and was "
        f"answered right by the benchmark's own scorer.{cut}"
    )


def _verdicts(attempts: Sequence[Attempt]) -> str:
    counts = Counter(str(attempt.verdict) for attempt in attempts)
    rows = [f"| {verdict} | {count:,} | {count / len(attempts):.1%} |" for verdict, count in counts.most_common()]
    return "\n".join(["| verdict | episodes | share |", "|---|---|---|", *rows])


def _rates(pairs: Iterable[tuple[str, Attempt]]) -> dict[str, tuple[int, int]]:
    """Episodes and demonstrations by name."""
    played: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    for name, attempt in pairs:
        played[name] += 1
        kept[name] += attempt.verdict == "kept"
    return {name: (count, kept[name]) for name, count in played.most_common()}


def _table(name: str, rates: Mapping[str, tuple[int, int]]) -> str:
    rows = [f"| {one} | {played:,} | {kept:,} | {kept / played:.1%} |" for one, (played, kept) in rates.items()]
    return "\n".join([f"| {name} | episodes | kept | share |", "|---|---|---|---|", *rows])


def _refined(kept: Sequence[Attempt]) -> str:
    """What was made of the episodes that were kept; empty where they stayed as they were."""
    counts: Counter[str] = Counter()
    for attempt in kept:
        counts.update(attempt.notes)
    rows = [f"| {what} | {count:,} |" for what, count in counts.most_common()]
    said = (
        "A *reflection* is one more demonstration, with a drawn wrong look before the right one; its line has "
        '`"learned": false` on that turn. A *rationale* is the thought of a turn; one that is dropped stays.'
    )
    return "\n".join([f"## What was made of them\n\n{said}\n", "| | number |", "|---|---|", *rows]) if rows else ""


def _made_with(config: ExperimentConfig, facts: Facts) -> str:
    collect, env = config.collect, config.env
    settings = {
        "teacher": facts.teacher,
        "asked of an endpoint": facts.cost,
        "split": collect.split,
        "episodes per question": f"{collect.samples}, of which at most {collect.per_question} are kept",
        "a look": collect.look,
        "longer thoughts": "yes" if collect.rationales else "no",
        "share with a wrong look": f"{collect.reflection_share:g}",
        "tools": ", ".join([*env.tools, *env.mcp_servers]) or "none",
        "views": f"{env.view_size} pixels on the longer side",
        "turns": f"at most {env.max_turns}, of {config.max_new_tokens} tokens",
        "seed": str(config.seed),
    }
    rows = [f"| {name} | {value} |" for name, value in settings.items()]
    notices = [f"- {notice.line()}" for notice in NOTICES.collected()]
    altered = ["", "Altered, left out or guessed on the way (in the last run):", "", *notices]
    return "\n".join(
        [
            "## How it was made\n\n`config.yaml` has every setting.\n",
            "| setting | value |",
            "|---|---|",
            *rows,
            *(altered if notices else []),
        ]
    )


def _hygiene(config: ExperimentConfig, facts: Facts) -> str:
    said = (
        "**These are test questions.** Nothing that is tested on them may learn from them; medvista's SFT refuses them."
        if config.collect.split == "test"
        else f"All questions are of the {config.collect.split} split; no test question was asked."
    )
    return "\n\n".join(["## Train and test", said, *facts.shared_images])


def _licence(attempts: Sequence[Attempt]) -> str:
    names = dict.fromkeys(attempt.benchmark for attempt in attempts)
    lines = [f"- {name}: {_LICENCES.get(name, _OF_YOUR_OWN)}" for name in names]
    return (
        "## Licence\n\nQuestions and images are those of the benchmarks, under their licences; what a teacher wrote "
        "may be under the terms of whoever serves it. Check both before passing this on.\n\n" + "\n".join(lines)
    )


_FILES = f"""## Files

| file | |
|---|---|
| `{DEMONSTRATIONS}` | the episodes as medvista records them, one JSON object a line; for `sft.path=<this folder>` |
| `{MESSAGES}` | the same as chat messages in flat columns: `load_dataset("json", data_files="{MESSAGES}")`, or pandas |
| `images/` | the views that were shown; both files name them by paths relative to this folder |
| `attempts.jsonl` | every episode that was tried, kept or not, and why |
| `config.yaml`, `settings.json` | how it was made, and what a run that goes on must share |
| `cost.json` | what an endpoint was asked |"""
