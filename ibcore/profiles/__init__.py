"""Profiles: the values that tell a quick check from a full reproduction, and nothing else.

``smoke.yaml``, ``laptop.yaml`` and ``paper.yaml`` have one section per notebook::

    01_szt_saxe:
      common: {epochs: 1500, ...}      # fields of the configuration shared by all runs
      runs:
        tanh: {}                       # fields of one run; mappings are merged, the rest replaced
        ReLU: {model_options: {activation: relu}}
"""

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import resources
from typing import Any, TypeVar

import yaml

NAMES = ("smoke", "laptop", "paper")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # of libyaml, where PyYAML has it

Config = TypeVar("Config")


def read(profile: str) -> dict[str, dict]:
    """All sections of a profile.

    Raises ValueError for an unknown profile, listing the known ones, and for a file that is no YAML
    or holds something else than sections.
    """
    if profile not in NAMES:
        raise ValueError(f"unknown profile {profile!r}; known profiles: {', '.join(NAMES)}")
    try:
        text = resources.files(__name__).joinpath(f"{profile}.yaml").read_text()
        sections = yaml.load(text, Loader=_LOADER)
    except Exception as error:  # PyYAML answers odd values with many kinds of exception
        raise ValueError(f"{profile}.yaml: not a profile ({error})") from error
    _check_mapping(sections, f"{profile}.yaml")
    for name, values in sections.items():
        _check_mapping(values, f"{profile}.yaml, {name}")
    return sections


def _check_mapping(value: Any, place: str) -> None:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{place}: must hold a mapping with names as keys, got {value!r:.60}")


def section(profile: str, notebook: str) -> dict[str, Any]:
    """The values of one notebook.

    Raises ValueError for an unknown profile or notebook, listing the known ones.
    """
    sections = read(profile)
    if notebook not in sections:
        raise ValueError(
            f"profile {profile!r} has no section {notebook!r}; sections: {', '.join(sections)}"
        )
    return sections[notebook]


def _merged(base: dict, change: dict) -> dict:
    merged = dict(base)
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            value = _merged(merged[key], value)
        merged[key] = value
    return merged


def _frozen(value):
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of the kind that a field is annotated with; a float may be a whole number.

    Where the annotation leaves the values open, as that of a plain mapping does, only texts that
    read as numbers do not fit.
    """
    origin, inner = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin is types.UnionType:
        return any(_fits(value, one) for one in inner)
    if origin in (bool, int, str, types.NoneType):
        return type(value) is origin
    if origin is float:
        return type(value) in (int, float)
    if origin is tuple and inner[1:] == (...,):
        return isinstance(value, tuple) and all(_fits(item, inner[0]) for item in value)
    if inner and origin is Mapping:
        return isinstance(value, Mapping) and all(_fits(one, inner[1]) for one in value.values())
    return not list(_numbers_as_text(value))


def _numbers_as_text(value: Any) -> Iterator[tuple[str, int | float]]:
    """Texts that read as numbers, at any depth, and the numbers."""
    if isinstance(value, str):
        with suppress(ValueError):
            number = float(value)
            yield value, int(number) if number.is_integer() else number
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _numbers_as_text(item)


def _check_kind(value: Any, kind: Any, place: str) -> None:
    if _fits(value, kind):
        return
    for text, number in _numbers_as_text(value):
        raise ValueError(f"{place}: {text!r} is text, write {yaml.safe_dump(number).split()[0]}")
    name = kind.__name__ if isinstance(kind, type) else kind
    raise ValueError(f"{place} must be {name}, got {value!r:.60}")


def configs(profile: str, notebook: str, kind: type[Config]) -> dict[str, Config]:
    """The runs of a notebook as configurations.

    Parameters
    ----------
    profile, notebook : str
    kind : dataclass
        Such as ``ibcore.experiments.information_plane.Config``.

    Returns
    -------
    dict
        Name of a run to its configuration.

    Raises
    ------
    ValueError
        For an unknown profile or notebook, a section without runs, or a field that ``kind`` does
        not have (naming the run, the field and the known fields), needs but does not get, gets
        with a value of another kind than it is annotated with, or refuses.
    """
    values = section(profile, notebook)
    if not values.get("runs"):
        raise ValueError(f"section {notebook!r} of profile {profile!r} has no runs")
    known = [field.name for field in dataclasses.fields(kind)]
    needed = [
        field.name
        for field in dataclasses.fields(kind)
        if field.default is field.default_factory is dataclasses.MISSING
    ]
    annotated = typing.get_type_hints(kind)
    made = {}
    _check_mapping(values["runs"], f"{profile}.yaml, {notebook}, runs")
    _check_mapping(values.get("common", {}), f"{profile}.yaml, {notebook}, common")
    for name, change in values["runs"].items():
        place = f"{profile}.yaml, {notebook}, run {name!r}"
        _check_mapping(change or {}, place)
        fields = _merged(values.get("common", {}), change or {})
        unknown = sorted(set(fields) - set(known))
        if unknown:
            raise ValueError(
                f"{place}: unknown fields {', '.join(unknown)}; known: {', '.join(known)}"
            )
        missing = [field for field in needed if field not in fields]
        if missing:
            raise ValueError(f"{place}: missing fields {', '.join(missing)}")
        fields = {field: _frozen(value) for field, value in fields.items()}
        for field, value in fields.items():
            _check_kind(value, annotated[field], f"{place}: {field}")
        try:
            made[name] = kind(**fields)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{place}: {error}") from error
    return made
