"""A typed experiment from its layers: schema defaults <- YAML, and what it extends <- `key=value` overrides."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf, read_write
from omegaconf.errors import OmegaConfBaseException

from medvista.app.config.keys import iter_keys, type_in_words
from medvista.app.config.layer_checks import check_layer, first_leaf, mapping_paths
from medvista.app.config.suggestions import nearest
from medvista.errors import UserError
from medvista.schema_field import explanation_of

# The shipped experiments: package data, which in a clone is a link to experiments/conf. A checkout without links, as on
# some Windows machines, finds them there.
_PACKAGED, _CLONED = Path(__file__).parents[1] / "conf", Path(__file__).parents[3] / "experiments" / "conf"
CONF_DIR = _PACKAGED if _PACKAGED.is_dir() else _CLONED
DEFAULT_EXPERIMENT = "nano"

_TYPED = "on the command line"

Config = TypeVar("Config")


@dataclasses.dataclass(frozen=True, slots=True)
class _Layer:
    """Settings from one place."""

    settings: dict[str, Any]  # nested
    where: str  # "on the command line", "in my.yaml"
    key: str = ""  # the one key it sets, where it is an override


def list_experiments(conf_dir: Path = CONF_DIR) -> dict[str, str]:
    """Name and one-line description of each shipped experiment, sorted by name."""
    return {path.stem: str(_read_yaml(path).get("description", "")) for path in sorted(conf_dir.glob("*.yaml"))}


def compose(schema: type[Config], overrides: Sequence[str], conf_dir: Path = CONF_DIR) -> Config:
    """The experiment that `key=value` overrides ask for, checked and typed.

    Args:
        schema: the dataclass of all keys; it has a field ``experiment``.
        overrides: ``["experiment=nano", "seed=1", "data.root=/data"]``; the last of a repeated key wins.
        conf_dir: folder of the shipped YAML files.

    Returns:
        An instance of ``schema``, interpolations such as ``${experiment}`` resolved.

    Raises:
        UserError: one sentence naming the key or file and how to mend it.
    """
    given = [split_override(override, conf_dir) for override in overrides]
    experiment = dict(given).get("experiment", DEFAULT_EXPERIMENT)
    path = find_experiment(experiment, conf_dir)
    layers = [_Layer(_without(layer, "extends"), f"in {file}") for layer, file in read_chain(path, conf_dir)]
    name = layers[-1].settings.get("experiment", path.stem)  # a run's own config.yaml remembers what it was called
    layers += [_Layer(_nested(key, text), _TYPED, key) for key, text in given if key != "experiment"]
    return _merge(schema, [*layers, _Layer({"experiment": name}, _TYPED)])


def split_override(override: str, conf_dir: Path = CONF_DIR) -> tuple[str, str]:
    """``"seed=1"`` as ``("seed", "1")``.

    Raises:
        UserError: when there is no ``=``, or the key is empty or written as a flag.
    """
    key, equals, value = override.partition("=")
    if not equals:
        hint = f"experiment={override}" if (conf_dir / f"{override}.yaml").exists() else f"{override or 'seed'}=..."
        raise UserError(f"`{override}` has no `=`: overrides are written key=value; did you mean `{hint}`?")
    if not key or any(not part for part in key.split(".")):
        raise UserError(f"`{override}` names no key: overrides are written key=value, such as `seed=1`.")
    return key, value


def find_experiment(experiment: str, conf_dir: Path = CONF_DIR) -> Path:
    """The file behind a shipped name or a user's own path.

    Raises:
        UserError: naming the nearest shipped experiment, or the path that is not there.
    """
    if experiment.endswith((".yaml", ".yml")) or "/" in experiment:
        path = Path(experiment).expanduser()
        if not path.is_file():
            raise UserError(f"experiment={experiment}: there is no such file (looked in {Path.cwd()}).")
        return path
    path = conf_dir / f"{experiment}.yaml"
    if not path.is_file():
        names = [file.stem for file in sorted(conf_dir.glob("*.yaml"))]
        raise UserError(f"Unknown experiment `{experiment}`: did you mean `{nearest(experiment, names)}`?")
    return path


def to_yaml(config: Any) -> str:
    """A composed experiment as YAML that `experiment=<that file>` reads back to the same experiment.

    What only one command was told, such as ``resume=true``, is left out: repeating a run is no resuming of it.
    """
    return OmegaConf.to_yaml(OmegaConf.create(plain(config)))


def config_hash(config: Any) -> str:
    """A name for a (part of a) configuration, the same in every process and on every machine, for caches.

    Args:
        config: a dataclass, or mappings, sequences, numbers, text, paths and enums in any nesting.

    Raises:
        TypeError: for anything else, whose text might differ from process to process.

    >>> config_hash({"a": 1, "b": [0.5]}) == config_hash({"b": (0.5,), "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(plain(config), sort_keys=True).encode()).hexdigest()[:16]


def plain(value: Any) -> Any:
    """Dataclasses, paths and enums as what YAML and JSON can hold, without what belongs to one command."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kept = [field.name for field in dataclasses.fields(value) if not explanation_of(field).invocation]
        return {name: plain(getattr(value, name)) for name in kept}
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Path):
        return value.as_posix()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a {type(value).__name__} cannot stand in a configuration: {value!r}")


def read_chain(path: Path, conf_dir: Path = CONF_DIR) -> list[tuple[dict[str, Any], Path]]:
    """The file and what it extends, the farthest ancestor first."""
    chain: list[tuple[dict[str, Any], Path]] = []
    seen: list[Path] = []
    while True:
        seen.append(path.resolve())
        layer = _read_yaml(path)
        # What an experiment is called and says of itself is its own, not its parent's.
        chain.insert(0, (layer if not chain else _without(layer, "experiment", "description"), path))
        parent = layer.get("extends")
        if parent is None:
            return chain
        path = _find_parent(str(parent), path, conf_dir)
        if path.resolve() in seen:
            loop = " -> ".join(file.stem for file in [*seen, path])
            raise UserError(f"`extends` goes in a circle: {loop}.")


def _find_parent(parent: str, child: Path, conf_dir: Path) -> Path:
    """A file beside the child, or a shipped experiment."""
    beside = child.parent / (parent if parent.endswith((".yaml", ".yml")) else f"{parent}.yaml")
    if beside.is_file():
        return beside
    try:
        return find_experiment(parent, conf_dir)
    except UserError as error:
        raise UserError(f"`extends: {parent}` in {child}: {error}") from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {_one_line(error)}.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold `key: value` lines at its top level.")
    return {str(key): value for key, value in content.items()}


def _nested(key: str, text: str) -> dict[str, Any]:
    """``("data.root", "x")`` as ``{"data": {"root": "x"}}``; the value is read as YAML."""
    try:
        container = OmegaConf.to_container(OmegaConf.from_dotlist([f"{key}={text}"]), resolve=False)
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"`{key}={text}` cannot be read: {_one_line(error)}.") from None
    assert isinstance(container, dict)
    return {str(name): value for name, value in container.items()}


def _merge(schema: type[Config], layers: list[_Layer]) -> Config:
    merged = OmegaConf.structured(schema)
    OmegaConf.set_readonly(merged, False)
    for layer in layers:
        _refuse_resolvers(layer.settings, layer.where)
        check_layer(schema, layer.settings, layer.where)
        for path in mapping_paths(schema, layer.settings):
            if not layer.key.startswith(".".join((*path, ""))):  # rl.reward.format=0.2 sets one entry, rl.reward={} all
                _empty(merged, path)
        try:
            merged = OmegaConf.merge(merged, layer.settings)
        except OmegaConfBaseException as error:
            raise _wrong_value(schema, layer.settings, error, layer.where) from None
    return _to_object(schema, merged)


def _refuse_resolvers(value: Any, where: str) -> None:
    """Refuses ``${oc.env:NAME}`` and the like, which would read secrets for a stranger; ``${seed}`` may stay."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _refuse_resolvers(item, where)
    elif isinstance(value, str) and ":" in value.partition("${")[2]:
        raise UserError(f"`{value}` {where}: a configuration may refer to its own keys only, as in ${{seed}}.")


def _empty(merged: DictConfig, path: Sequence[str]) -> None:
    """Forgets the entries of a mapping, since OmegaConf would merge those of the next layer into them."""
    node: Any = merged
    for part in path[:-1]:
        node = node.get(part)
        if node is None:
            return
    with read_write(node):
        node[path[-1]] = {}


def _to_object(schema: type[Config], merged: DictConfig) -> Config:
    try:
        config = OmegaConf.to_object(merged)
    except MissingMandatoryValue as error:
        key = getattr(error, "full_key", None) or "a key"
        raise UserError(f"`{key}` must be given: add `{key}=...`.") from None
    except OmegaConfBaseException as error:
        raise UserError(f"`{error.full_key}` cannot be resolved: {_one_line(error)}.") from None
    assert isinstance(config, schema)
    return config


def _wrong_value(schema: type, layer: Mapping[str, Any], error: OmegaConfBaseException, where: str) -> UserError:
    key = error.full_key or first_leaf(layer)
    value = OmegaConf.select(OmegaConf.create(dict(layer)), key)
    plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    wanted = next((type_in_words(known.annotation) for known in iter_keys(schema) if known.name == key), None)
    if wanted is None:
        return UserError(f"`{key}` {where}: {_one_line(error)}.")
    return UserError(f"`{key}` {where} must be {wanted}, not {'null' if plain is None else repr(plain)}.")


def _without(layer: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in layer.items() if key not in keys}


def _one_line(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem or error.context}, line {error.problem_mark.line + 1}"
    return str(error).strip().split("\n")[0].rstrip(".")
