"""Profiles: the values that tell a quick check from a full reproduction, and nothing else.

``smoke.yaml``, ``laptop.yaml`` and ``paper.yaml`` have one section per notebook::

    01_szt_saxe:
      common: {epochs: 1500, ...}      # fields of the configuration shared by all runs
      runs:
        tanh: {}                       # fields of one run; mappings are merged, the rest replaced
        ReLU: {model_options: {activation: relu}}
"""

import dataclasses
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
        not have (naming the run, the field and the known fields), needs but does not get, or gets
        with a value of another kind.
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
    made = {}
    _check_mapping(values["runs"], f"{profile}.yaml, {notebook}, runs")
    _check_mapping(values.get("common", {}), f"{profile}.yaml, {notebook}, common")
    for name, change in values["runs"].items():
        _check_mapping(change or {}, f"{profile}.yaml, {notebook}, run {name!r}")
        fields = _merged(values.get("common", {}), change or {})
        unknown = sorted(set(fields) - set(known))
        if unknown:
            raise ValueError(
                f"{profile}.yaml, {notebook}, run {name!r}: unknown fields {', '.join(unknown)}; "
                f"known: {', '.join(known)}"
            )
        missing = [field for field in needed if field not in fields]
        if missing:
            raise ValueError(
                f"{profile}.yaml, {notebook}, run {name!r}: missing fields {', '.join(missing)}"
            )
        try:
            made[name] = kind(**{key: _frozen(value) for key, value in fields.items()})
        except TypeError as error:
            raise ValueError(f"{profile}.yaml, {notebook}, run {name!r}: {error}") from error
    return made
