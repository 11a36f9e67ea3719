"""Profiles: whatever is in the file, configurations or a ValueError that names the place."""

import dataclasses

import pytest
import yaml
from fuzzing import examples, mutations
from hypothesis import given
from hypothesis import strategies as st

from ibcore import profiles
from ibcore.experiments import (
    amc,
    entropy_by_depth,
    filter_pruning,
    information_plane,
    known_truth,
    layer_freezing,
    layer_removal,
    saliency_evolution,
)

KINDS = [
    module.Config
    for module in (
        *(amc, entropy_by_depth, filter_pruning, information_plane, known_truth),
        *(layer_freezing, layer_removal, saliency_evolution),
    )
]
SMOKE = profiles.read("smoke")


@dataclasses.dataclass(frozen=True)
class Config:
    """Refuses what it does not know, as those of the experiments do."""

    epochs: int = 3
    widths: tuple = ()

    def __post_init__(self):
        if self.epochs < 0:
            raise ValueError(f"epochs must not be negative, got {self.epochs}")


@pytest.fixture
def write(monkeypatch, tmp_path):
    """A function that puts other content into smoke.yaml."""
    monkeypatch.setattr(profiles.resources, "files", lambda name: tmp_path)
    return (tmp_path / "smoke.yaml").write_bytes


def read(kind=Config):
    """All configurations, or the text of the error."""
    made = []
    try:
        for notebook in profiles.read("smoke"):
            made += profiles.configs("smoke", notebook, kind).values()
    except ValueError as error:
        return str(error)
    assert all(isinstance(config, kind) for config in made)
    return made


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "smoke.yaml: must hold a mapping with names as keys, got None"),
        ("- a", "smoke.yaml: must hold a mapping"),
        ("1: {}", "smoke.yaml: must hold a mapping"),
        ("a: [", "smoke.yaml: not a profile"),
        ("a: !!int ''", "smoke.yaml: not a profile"),
        ("a: 2001-99-99", "smoke.yaml: not a profile"),
        ("[" * 5000, "smoke.yaml: not a profile"),
        ("a: !!python/object/apply:os.mkdir [executed]", "smoke.yaml: not a profile"),
        ("a: 3", "smoke.yaml, a: must hold a mapping with names as keys, got 3"),
        ("a: {}", "section 'a' of profile 'smoke' has no runs"),
        ("a: {runs: [b]}", "smoke.yaml, a, runs: must hold a mapping"),
        ("a: {runs: {b: 3}}", "smoke.yaml, a, run 'b': must hold a mapping"),
        ("a: {common: 3, runs: {b: {}}}", "smoke.yaml, a, common: must hold a mapping"),
        (
            "a: {runs: {b: {epochs: many}}}",
            "smoke.yaml, a, run 'b': epochs must be int, got 'many'",
        ),
        ("a: {runs: {b: {epochs: -1}}}", "epochs must not be negative, got -1"),
        ("a: {runs: {b: {size: 1}}}", "smoke.yaml, a, run 'b': unknown fields size"),
    ],
)
def test_odd_profiles(write, monkeypatch, tmp_path, text, words):
    monkeypatch.chdir(tmp_path)
    write(text.encode())
    assert words in read()
    assert not (tmp_path / "executed").exists()


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["common", "runs", "epochs", "widths", "a"]) | st.integers(0, 2),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@examples(60)
@given(content=values)
def test_any_values(write, content):
    write(yaml.safe_dump(content).encode())
    read()


@examples(60)
@given(content=st.binary(max_size=60) | st.text(alphabet="ab:-{}[]&*!|>\n ,'\"#%?", max_size=60))
def test_any_text(write, content):
    write(content.encode() if isinstance(content, str) else content)
    read()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__module__)
@examples(6)
@given(notebook=st.sampled_from(sorted(SMOKE)), damage=mutations())
def test_damaged_profiles(write, kind, notebook, damage):
    write(damage(yaml.safe_dump({notebook: SMOKE[notebook]}).encode()))
    read(kind)
