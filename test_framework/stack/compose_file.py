"""Read and merge compose files by Compose's own rules, for the keys that this stack uses.

A test holds this reading against ``docker compose config``, so both backends obey the same override file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from test_framework.errors import SettingsError
from test_framework.stack.interpolation import interpolate

__all__ = ["Located", "load_compose"]

# Lists that a later file replaces; every other list is appended to.
_REPLACED = {"command", "entrypoint", "test"}
# Written either as a list of KEY=VALUE or as a map; always a map after reading.
_MAPS = {"environment", "labels", "args", "sysctls", "extra_hosts", "annotations"}


class Located(dict[str, Any]):
    """A mapping that knows in which file and on which line each of its keys was written."""

    def __init__(self, values: Mapping[str, Any], places: Mapping[str, str]) -> None:
        super().__init__(values)
        self.places = dict(places)

    def place(self, key: str) -> str:
        """``file:line`` of ``key``."""
        return self.places.get(key, "")


class _Override:
    """A value tagged ``!override``: it replaces what earlier files said."""

    def __init__(self, value: Any) -> None:
        self.value = value


class _Reset:
    """A value tagged ``!reset``: it takes the key away."""


def load_compose(files: Sequence[Path], variables: Mapping[str, str]) -> Located:
    """Read ``files`` in order, interpolate each and merge them.

    Raises:
        SettingsError: a file is missing, is no valid YAML, or holds a mapping where a list belongs, and the like.
    """
    merged = Located({}, {})
    for file in files:
        document = _read(file)
        merged = _merge_maps(merged, _interpolated(document, variables, str(file)))
    plain = _without_tags(merged)
    assert isinstance(plain, Located)
    return plain


def _read(file: Path) -> Located:
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        raise SettingsError(
            "the compose file does not exist", where=str(file), fix="run from the project's directory"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError("the compose file cannot be read", where=str(file), cause=str(error)) from error
    try:
        document = yaml.load(text, _loader_for(file))  # noqa: S506 - a subclass of the safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise SettingsError(
            "the compose file is not valid YAML",
            where=f"{file}:{mark.line + 1}" if mark else str(file),
            cause=getattr(error, "problem", None) or str(error),
            fix="mend the line, then run the command again; nothing was changed",
        ) from error
    if document is None:
        return Located({}, {})
    if not isinstance(document, Located):
        raise SettingsError(
            "the compose file must hold a mapping at its top",
            where=f"{file}:1",
            cause=f"found {_kind(document)}",
            fix="start it with 'services:'",
        )
    return document


def _loader_for(file: Path) -> type[yaml.SafeLoader]:
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]
        pass

    def mapping(loader: Any, node: yaml.MappingNode) -> Located:
        loader.flatten_mapping(node)
        places = {key.value: f"{file}:{key.start_mark.line + 1}" for key, _ in node.value}
        return Located(loader.construct_mapping(node, deep=True), places)

    def override(loader: Any, node: yaml.Node) -> _Override:
        return _Override(mapping(loader, node) if isinstance(node, yaml.MappingNode) else _plain(loader, node))

    def reset(loader: Any, node: yaml.Node) -> _Reset:
        return _Reset()

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    Loader.add_constructor("!override", override)
    Loader.add_constructor("!reset", reset)
    return Loader


def _plain(loader: Any, node: yaml.Node) -> Any:
    """Construct a tagged list or scalar as if the tag were not there."""
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    tag = loader.resolve(yaml.ScalarNode, node.value, (True, False))
    return loader.construct_object(yaml.ScalarNode(tag, node.value, node.start_mark, node.end_mark))


def _interpolated(value: Any, variables: Mapping[str, str], where: str) -> Any:
    if isinstance(value, str):
        return interpolate(value, variables, where)
    if isinstance(value, Located):
        return Located(
            {key: _interpolated(each, variables, value.place(key) or where) for key, each in value.items()},
            value.places,
        )
    if isinstance(value, list):
        return [_interpolated(each, variables, where) for each in value]
    if isinstance(value, _Override):
        return _Override(_interpolated(value.value, variables, where))
    return value


def _merge_maps(base: Located, extra: Located) -> Located:
    merged = Located(base, {**base.places, **extra.places})
    for key, value in extra.items():
        if isinstance(value, _Reset):
            merged.pop(key, None)
        elif isinstance(value, _Override):
            merged[key] = _normal(key, _without_tags(value.value), extra.place(key))
        elif isinstance(base.get(key), Located) and isinstance(value, Located):
            merged[key] = _merge_maps(base[key], value)
        else:
            fresh = _normal(key, value, extra.place(key))
            merged[key] = _merge(key, base[key], fresh, extra.place(key)) if key in base else fresh
    return merged


def _merge(key: str, old: Any, new: Any, where: str) -> Any:
    if new is None:
        return old
    if isinstance(old, Located) and isinstance(new, Located):
        return _merge_maps(old, new)
    if isinstance(old, list) and isinstance(new, list):
        return _merge_lists(key, old, new)
    if key not in _REPLACED and isinstance(old, Located | list) and type(old) is not type(new):
        raise SettingsError(
            f"'{key}' has the wrong type",
            where=where,
            cause=f"found {_kind(new)}, expected {_kind(old)}",
            fix=f"write '{key}' as the main compose file does",
        )
    return new


def _merge_lists(key: str, old: list[Any], new: list[Any]) -> list[Any]:
    if key in _REPLACED:
        return new
    if key == "volumes":
        targets = {_mount_target(each) for each in new}
        old = [each for each in old if _mount_target(each) not in targets]
    return old + [each for each in new if each not in old]


def _mount_target(mount: Any) -> str:
    """Where a volume is mounted: two on the same place cannot be, so the later one is meant."""
    return str(mount.get("target")) if isinstance(mount, dict) else [*str(mount).split(":"), ""][1]


def _normal(key: str, value: Any, where: str) -> Any:
    if key in _MAPS and isinstance(value, list):
        return _map_from_list(value, where)
    if isinstance(value, Located):
        # Merging into nothing gives nested maps the same treatment.
        return _merge_maps(Located({}, {}), value)
    return value


def _map_from_list(items: list[Any], where: str) -> Located:
    pairs = (str(item).partition("=") for item in items)
    values = {name: value if separator else None for name, separator, value in pairs}
    return Located(values, dict.fromkeys(values, where))


def _without_tags(value: Any) -> Any:
    if isinstance(value, _Override):
        return _without_tags(value.value)
    if isinstance(value, Located):
        kept = {key: _without_tags(each) for key, each in value.items() if not isinstance(each, _Reset)}
        return Located(kept, value.places)
    if isinstance(value, list):
        return [_without_tags(each) for each in value]
    return value


_KINDS: dict[type, str] = {dict: "a mapping", list: "a list", str: "a text", bool: "true/false", int: "a number"}


def _kind(value: Any) -> str:
    matches: Callable[[type], bool] = lambda known: isinstance(value, known)  # noqa: E731 - used once, below
    return next((name for known, name in _KINDS.items() if matches(known)), "nothing" if value is None else "a value")
