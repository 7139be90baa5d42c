"""Fixtures that several folders of tests share."""

from __future__ import annotations

import copy
import os
import runpy
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported: processes side by side, not threads that wait
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A machine that is busy, or draws its first text, is slow; that is no fault of what is tested.
settings.register_profile("medvista", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("medvista")

if TYPE_CHECKING:  # the fixtures import what they need: most tests do without torch and transformers
    import lightning

    from medvista.envs import MedicalVQAEnv
    from medvista.policies import Engine, VLMPolicy
    from medvista.rollout import RolloutCollector
    from medvista.types import Trajectory, VQASample


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real files, ``$MEDVISTA_DATA`` or else ``../shared/data``; without it the test is skipped."""
    root = Path(os.environ.get("MEDVISTA_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not root.is_dir():
        pytest.skip(f"no real data at {root}: set MEDVISTA_DATA to the folder that holds slake/ and vqa_rad/")
    return root


@pytest.fixture(scope="session")
def benchmark_forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[tuple[str, ...], Path]]:
    """Every form of every benchmark, tiny and unpacked: form -> the benchmarks in it, and their data root."""
    from medvista.data.hub_download import unpack
    from medvista.data.registry import BENCHMARKS

    forms = runpy.run_path(str(Path(__file__).parent / "fixtures" / "benchmark_forms.py"))["FORMS"]
    written = {}
    for form, (names, write) in forms.items():
        root = tmp_path_factory.mktemp(form.replace(" ", "_"))
        write(root)
        for name in names:
            if (hub := BENCHMARKS[name].hub) is not None:
                unpack(hub, root, say=lambda _: None)
        written[form] = (names, root)
    return written


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where ``MEDVISTA_REQUIRE_DATA=1`` says the real files are at hand (CI), a test that skips them has failed."""
    report = yield
    needs_data = "data_root" in getattr(item, "fixturenames", ()) or item.get_closest_marker("data") is not None
    skipped = report.skipped and not hasattr(report, "wasxfail")
    if skipped and needs_data and os.environ.get("MEDVISTA_REQUIRE_DATA") == "1":
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"MEDVISTA_REQUIRE_DATA=1 and yet: {reason}"
    return report


# ------------------------------------------------------------------------- a policy, questions and episodes to train on


@pytest.fixture(scope="session")
def questions() -> list[VQASample]:
    """Four families of questions on four phantoms each of the training split."""
    from medvista.data.phantom_vqa import phantom_samples

    return phantom_samples("train", images=4)


@pytest.fixture(scope="session")
def nano(questions: list[VQASample]) -> VLMPolicy:
    """An untrained nano policy of 70,000 parameters, shared by tests: `copy.deepcopy` it before changing a weight."""
    from medvista.data.expert import ScriptedExpert
    from medvista.policies import NanoConfig, build_nano

    plans = [text for sample in questions for text in ScriptedExpert().plan(sample, 0)]
    config = NanoConfig(
        vocab_size=400,
        view_size=32,
        hidden_size=32,
        layers=2,
        intermediate_size=64,
        text_init_std=0.2,
        vision_hidden_size=32,
        vision_depth=1,
        vision_heads=2,
        vision_intermediate_size=64,
    )
    return build_nano([sample.question for sample in questions] + plans, config).eval()


@pytest.fixture(scope="session")
def make_env(questions: list[VQASample]) -> Callable[..., MedicalVQAEnv]:
    """Makes an environment at the nano policy's view size, three turns long, with zoom and window."""
    from medvista.envs import MedicalVQAEnv

    return lambda **options: MedicalVQAEnv(questions, view_size=32, max_turns=3, **options)


@pytest.fixture(scope="session")
def make_collector(make_env: Callable[..., MedicalVQAEnv]) -> Callable[..., RolloutCollector]:
    """From a policy, another engine than its own and another reward than accuracy, to a collector of its episodes."""
    from medvista.policies import ChatRenderer, TransformersEngine
    from medvista.rollout import RolloutCollector

    def make(policy: VLMPolicy, engine: Engine | None = None, **env_options: Any) -> RolloutCollector:
        renderer = ChatRenderer(policy, "Tools: zoom")
        return RolloutCollector(partial(make_env, **env_options), engine or TransformersEngine(policy), renderer)

    return make


@pytest.fixture(scope="session")
def always_uneven(make_collector: Callable[..., RolloutCollector]) -> Callable[[VLMPolicy], RolloutCollector]:
    """Makes collectors whose reward is drawn by lot, so that every update has something to learn."""
    from medvista.types import Reward

    return partial(make_collector, reward_fn=lambda t: Reward(total=t.seed % 97 / 97, terms={}))


@pytest.fixture(scope="session")
def demonstrations(
    nano: VLMPolicy, questions: list[VQASample], make_collector: Callable[..., RolloutCollector]
) -> list[Trajectory]:
    """The scripted expert's episode of each question."""
    from medvista.data.expert import ScriptedExpert
    from medvista.policies import SamplingParams, ScriptedPolicy

    expert = ScriptedExpert()
    script = ScriptedPolicy(lambda t: expert.plan(t.sample, t.seed)[len(t.turns)], tokenizer=nano.tokenizer)
    return make_collector(nano, script).collect(questions, SamplingParams(), seeds=range(len(questions)))


@pytest.fixture(scope="session")
def schooled(nano: VLMPolicy, demonstrations: list[Trajectory]) -> VLMPolicy:
    """A copy of the nano policy that half learned the demonstrations: it calls tools, errs, and rambles."""
    import torch

    from medvista.functional.objectives import negative_log_likelihood
    from medvista.rollout import TokenBatch

    policy = copy.deepcopy(nano)
    batch = TokenBatch.from_streams([episode.stream for episode in demonstrations])
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-2)
    for _ in range(40):
        loss = negative_log_likelihood(batch.log_probs(policy)[0], batch.loss_mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return policy


@pytest.fixture
def make_trainer(tmp_path: Path) -> Callable[..., lightning.Trainer]:
    """Makes a silent trainer on the CPU; give it what the test is about (`max_steps`, `callbacks`, ...)."""
    import lightning

    def make(**options: Any) -> lightning.Trainer:
        silent = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        checkpoints = any(isinstance(c, lightning.pytorch.callbacks.Checkpoint) for c in options.get("callbacks", ()))
        defaults = {
            "num_sanity_val_steps": 0,
            "max_epochs": -1,
            "limit_val_batches": 0,
            "enable_checkpointing": checkpoints,
        }
        return lightning.Trainer(accelerator="cpu", default_root_dir=tmp_path, **silent | defaults | options)

    return make
