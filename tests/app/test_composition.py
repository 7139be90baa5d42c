"""Layers of an experiment, on a schema with every kind of field: defaults <- YAML and its parents <- overrides."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from textwrap import dedent
from typing import Any, Literal

import pytest
from omegaconf import MISSING

from medvista.app.config.composition import compose, config_hash, to_yaml
from medvista.errors import UserError
from medvista.schema_field import setting


class Precision(Enum):
    FP32 = 1
    BF16 = 2


@dataclass(kw_only=True, frozen=True)
class Optimizer:
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise UserError(f"optimizer.lr must be above 0, not {self.lr}.")


@dataclass(kw_only=True)
class Arm:
    tools: bool = True
    weights: dict[str, float] = field(default_factory=dict)


@dataclass(kw_only=True)
class Schema:
    experiment: str = "nano"
    description: str = ""
    output_dir: Path = setting("runs/${experiment}", help="folder the run writes")
    seed: int = 0
    scale: Literal["std", "none"] = "std"
    precision: Precision = Precision.FP32
    limit: int | None = None
    benchmarks: list[str] = setting(["phantom"], help="what is evaluated")
    optimizer: Optimizer = field(default_factory=Optimizer)
    judge: Optimizer | None = None
    arms: dict[str, Arm] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, float] = setting({"accuracy": 1.0, "format": 0.1}, help="weights of the terms")
    again: bool = setting(False, help="whether to go on", invocation=True)


@dataclass(kw_only=True)
class Files:
    root: Path = MISSING


@dataclass(kw_only=True)
class StrictSchema:
    experiment: str = "nano"
    data: Files = field(default_factory=Files)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A folder with the experiments `nano` and `child`, which extends it."""
    write(tmp_path, "nano", "description: the parent\nseed: 1\noptimizer: {lr: 0.1}\nextra: {depth: 2}")
    write(tmp_path, "child", "extends: nano\noptimizer:\n  betas: [0.8, 0.9]\nextra: {width: 3}")
    return tmp_path


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(dedent(text))
    return path


def test_overrides_win_over_yaml_which_wins_over_defaults(conf: Path) -> None:
    config = compose(Schema, ["optimizer.lr=1e-4"], conf)
    assert (config.seed, config.limit) == (1, None)
    assert config.optimizer == Optimizer(lr=1e-4)


def test_the_last_of_a_repeated_key_wins(conf: Path) -> None:
    assert compose(Schema, ["seed=2", "experiment=child", "seed=3", "experiment=nano"], conf).seed == 3


def test_a_child_changes_only_what_it_names(conf: Path) -> None:
    config = compose(Schema, ["experiment=child"], conf)
    assert config.optimizer == Optimizer(lr=0.1, betas=(0.8, 0.9))
    assert config.extra == {"width": 3}, "a mapping that is given replaces the parent's"
    assert (config.experiment, config.description) == ("child", "")
    assert config.output_dir == Path("runs/child")


def test_every_kind_of_value_arrives_with_its_type(conf: Path) -> None:
    overrides = ["scale=none", "precision=BF16", "limit=5", "benchmarks=[slake,vqa_rad]", "judge.lr=0.5"]
    config = compose(Schema, [*overrides, "arms.sft.weights.format=0.5", "output_dir=out/a=b"], conf)
    assert (config.scale, config.precision, config.limit) == ("none", Precision.BF16, 5)
    assert config.benchmarks == ["slake", "vqa_rad"]
    assert config.judge == Optimizer(lr=0.5)
    assert config.arms == {"sft": Arm(weights={"format": 0.5})}
    assert config.output_dir == Path("out/a=b")


def test_a_users_own_file_may_extend_a_shipped_experiment(conf: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    mine = write(tmp_path_factory.mktemp("mine"), "hospital", "extends: child\nseed: 9")
    config = compose(Schema, [f"experiment={mine}"], conf)
    assert (config.experiment, config.seed, config.optimizer.lr) == ("hospital", 9, 0.1)


def test_a_runs_config_yaml_repeats_the_run(conf: Path) -> None:
    config = compose(Schema, ["experiment=child", "precision=BF16", "scale=none", "extra.version='1e-4'"], conf)
    saved = write(conf, "config", to_yaml(config))
    assert compose(Schema, [f"experiment={saved}"], conf) == config


@pytest.mark.parametrize(
    ("overrides", "weights"),
    [
        (["arms={sft: {weights: {accuracy: 1.0}}}"], {"accuracy": 1.0}),
        (["arms.sft={weights: {accuracy: 1.0}}"], {"accuracy": 1.0}),
        (["arms.sft.weights={accuracy: 1.0}"], {"accuracy": 1.0}),
        (["arms.sft.weights={}"], {}),
        (["arms.sft.weights.accuracy=1.0"], {"format": 0.1, "accuracy": 1.0}),
        (["arms.sft.weights.format=0.2"], {"format": 0.2}),
        (["arms.sft.tools=false"], {"format": 0.1}),
        (["arms.sft.weights={accuracy: 1.0}", "arms.sft.weights.format=0.3"], {"accuracy": 1.0, "format": 0.3}),
        (["arms.sft.weights.format=0.3", "arms.sft.weights={accuracy: 1.0}"], {"accuracy": 1.0}),
    ],
)
def test_a_mapping_that_is_given_replaces_and_an_entry_changes_itself(
    overrides: list[str], weights: dict[str, float], conf: Path
) -> None:
    write(conf, "mine", "arms: {sft: {weights: {format: 0.1}}}")
    config = compose(Schema, ["experiment=mine", *overrides], conf)
    assert config.arms["sft"].weights == weights


def test_a_mapping_of_a_file_replaces_its_parents_and_the_schemas(conf: Path) -> None:
    write(conf, "mine", "extends: nano\nweights: {accuracy: 1.0}")
    write(conf, "mines_child", "extends: mine\nweights: {brevity: 0.5}")
    assert compose(Schema, ["experiment=nano"], conf).weights == {"accuracy": 1.0, "format": 0.1}
    assert compose(Schema, ["experiment=mine"], conf).weights == {"accuracy": 1.0}
    assert compose(Schema, ["experiment=mines_child"], conf).weights == {"brevity": 0.5}
    assert compose(Schema, ["experiment=mine", "weights.format=0.2"], conf).weights == {"accuracy": 1.0, "format": 0.2}


def test_a_mapping_deep_in_a_free_mapping_replaces_as_well(conf: Path) -> None:
    write(conf, "mine", "extra: {thinking: {type: on, budget: 5}, seed: 3}")
    config = compose(Schema, ["experiment=mine", "extra.thinking={type: off}"], conf)
    assert config.extra == {"thinking": {"type": False}, "seed": 3}


def test_what_one_command_was_told_is_not_saved(conf: Path) -> None:
    config = compose(Schema, ["again=true"], conf)
    assert config.again
    saved = write(conf, "config", to_yaml(config))
    assert "again" not in saved.read_text()
    assert not compose(Schema, [f"experiment={saved}"], conf).again


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("scale=sdt", "`scale` on the command line must be one of 'std', 'none', not 'sdt'."),
        ("precision=fp8", "`precision` on the command line must be one of FP32, BF16, not 'fp8'."),
        ("limit=all", "`limit` on the command line must be a whole number or null, not 'all'."),
        ("benchmarks=slake", "`benchmarks` on the command line must be a list such as [text, ...], not 'slake'."),
        ("optimizer.betas=[1,2,3]", "must be a list [number, number], not [1, 2, 3]."),
        ("optimizer.betas=[a,b]", "`optimizer.betas` on the command line must be a list [number, number]"),
        ("optimizer.lr=-1", "optimizer.lr must be above 0, not -1.0."),
        ("judge=5", "`judge` on the command line is a section"),
        ("arms.sft=5", "`arms.sft` on the command line is a section"),
        ("arms.sft.tool=true", "Unknown key `arms.sft.tool` on the command line: did you mean `arms.sft.tools`?"),
        ("arms.sft.tools=often", "`arms.sft.tools` on the command line"),
        ("optimiser.lr=1", "Unknown key `optimiser.lr` on the command line: did you mean `optimizer.lr`?"),
        ("opt.lr=1", "did you mean `optimizer.lr`?"),
        ("optim={lr: 1}", "did you mean `optimizer.lr`?"),
        ("bench=[a]", "did you mean `benchmarks`?"),
        (
            "extra={depth:2}",
            "`depth:2` in `extra` on the command line has no value: YAML wants a space after the colon",
        ),
        ("arms.sft.weights={a:1, b: 2}", "`a:1` in `arms.sft.weights` on the command line has no value"),
        ("weights=1", "`weights` on the command line must be a mapping such as {name: number}, not 1."),
        ("output_dir=${nothing}", "`output_dir` cannot be resolved: Interpolation key 'nothing' not found."),
    ],
)
def test_a_wrong_value_names_what_was_expected(override: str, sentence: str, conf: Path) -> None:
    with pytest.raises(UserError) as raised:
        compose(Schema, [override], conf)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("sead: 1", "did you mean `seed`?"),
        ("seed: abc", "must be a whole number, not 'abc'."),
        ("seed: 1\nseed: 2", "is not valid YAML"),
        ("seed: [1", "is not valid YAML"),
        ("- 1\n- 2", "must hold `key: value` lines"),
        ("just words", "Unknown key `just words`"),
        ("extends: nanoo", "did you mean `nano`?"),
        ("extends: mine", "`extends` goes in a circle: mine -> mine."),
    ],
)
def test_a_mistake_in_a_file_names_the_file(text: str, sentence: str, conf: Path) -> None:
    mine = write(conf, "mine", text)
    with pytest.raises(UserError) as raised:
        compose(Schema, [f"experiment={mine}"], conf)
    assert sentence in str(raised.value)
    assert "mine" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_text_is_refused(conf: Path) -> None:
    (conf / "mine.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UserError, match=r"mine\.yaml"):
        compose(Schema, ["experiment=mine"], conf)


def test_a_circle_of_extends_is_found(conf: Path) -> None:
    write(conf, "a", "extends: b")
    write(conf, "b", "extends: a")
    with pytest.raises(UserError, match="a -> b -> a"):
        compose(Schema, ["experiment=a"], conf)


def test_an_empty_file_is_the_defaults(conf: Path) -> None:
    write(conf, "empty", "")
    assert compose(Schema, ["experiment=empty"], conf) == Schema(
        experiment="empty", output_dir=Path("runs/empty"), benchmarks=["phantom"]
    )


def test_a_key_without_default_must_be_given(conf: Path) -> None:
    write(conf, "strict", "")
    with pytest.raises(UserError, match=r"`data\.root` must be given: add `data\.root=\.\.\.`"):
        compose(StrictSchema, ["experiment=strict"], conf)
    assert compose(StrictSchema, ["experiment=strict", "data.root=x"], conf).data.root == Path("x")


def test_a_hash_depends_on_values_alone() -> None:
    assert config_hash(Optimizer()) == config_hash({"betas": [0.9, 0.999], "lr": 0.001})
    assert config_hash(Optimizer()) != config_hash(Optimizer(lr=0.002))
    in_another_process = hashlib.sha256(b'{"betas": [0.9, 0.999], "lr": 0.001}').hexdigest()
    assert in_another_process.startswith(config_hash(Optimizer()))


def test_a_hash_refuses_what_differs_between_processes() -> None:
    with pytest.raises(TypeError, match="object"):
        config_hash({"a": object()})
