"""Profiles: strict, merged as written, and every section loads into its configuration."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping

import pytest
import yaml

from ibcore import experiments, profiles
from ibcore.profiles import configs, read, section

PRESENT = [
    name
    for name in profiles.NAMES
    if profiles.resources.files(profiles.__name__).joinpath(f"{name}.yaml").is_file()
]
SECTIONS = [(profile, notebook) for profile in PRESENT for notebook in read(profile)]


def kinds():
    """The configurations of all experiments."""
    modules = pkgutil.iter_modules(experiments.__path__, f"{experiments.__name__}.")
    found = [importlib.import_module(module.name) for module in modules]
    return [module.Config for module in found if hasattr(module, "Config")]


@dataclasses.dataclass(frozen=True)
class Config:
    epochs: int
    options: dict
    widths: tuple = ()
    rate: float = 0.1
    notes: list = dataclasses.field(default_factory=list)
    crop: int | None = None
    l2: float | tuple[float, ...] = 0.0
    augment: bool = False
    standin: bool | str = False
    steps: str = "1-2"
    filters: Mapping[str, str] = dataclasses.field(default_factory=dict)
    estimators: tuple[Mapping, ...] = ()

    def __post_init__(self):
        if self.epochs < 0:
            raise ValueError(f"epochs must not be negative, got {self.epochs}")
        if self.notes:
            raise TypeError("no notes are taken")


@pytest.fixture
def write(monkeypatch, tmp_path):
    """Put a text in the place of smoke.yaml."""

    def write(text):
        (tmp_path / "smoke.yaml").write_text(text)
        monkeypatch.setattr(profiles.resources, "files", lambda package: tmp_path)

    return write


def test_merging(write):
    write("""
base: &base {epochs: 3, options: {hidden: [4, 3], init: glorot, deep: {a: 1, b: 2}}}
01_toy:
  common:
    <<: *base
    widths: [1, 2]
  runs:
    plain: {}
    nothing:
    changed:
      epochs: 5
      widths: [[7]]
      options: {init: ibsgd, deep: {b: 3}, extra: yes}
    replaced: {options: null}
""")
    found = configs("smoke", "01_toy", Config)
    options = {"hidden": [4, 3], "init": "glorot", "deep": {"a": 1, "b": 2}}
    assert list(found) == ["plain", "nothing", "changed", "replaced"]
    assert found["plain"] == found["nothing"] == Config(3, options, (1, 2))
    assert found["changed"] == Config(
        5, {**options, "init": "ibsgd", "deep": {"a": 1, "b": 3}, "extra": True}, ((7,),)
    )
    assert found["replaced"].options is None
    assert section("smoke", "01_toy")["common"]["options"] == options


def test_runs_without_a_common_part(write):
    write("01_toy: {runs: {a: {epochs: 1, options: {}}}}")
    assert configs("smoke", "01_toy", Config) == {"a": Config(1, {})}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n2: {runs: {}}\nn3: {}", "profile 'smoke' has no section 'n1'; sections: n2, n3"),
        ("n1: {runs: {}}", "section 'n1' of profile 'smoke' has no runs"),
        ("n1: {common: {epochs: 1}}", "section 'n1' of profile 'smoke' has no runs"),
        (
            "n1: {runs: {a: {epochs: 1, options: {}, epoch: 2, bins: 3}}}",
            "smoke.yaml, n1, run 'a': unknown fields bins, epoch; known: epochs, options, widths, ",
        ),
        (
            "n1: {common: {rates: 1}, runs: {a: {epochs: 1, options: {}}}}",
            "smoke.yaml, n1, run 'a': unknown fields rates",
        ),
        (
            "n1: {common: {options: {}}, runs: {a: {epochs: 1}, b: {rate: 2}}}",
            r"smoke.yaml, n1, run 'b': missing fields epochs$",
        ),
        ("n1: {runs: {a: }}", "smoke.yaml, n1, run 'a': missing fields epochs, options"),
    ],
)
def test_refused(write, text, words):
    write(text)
    with pytest.raises(ValueError, match=words):
        configs("smoke", "n1", Config)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("rate: 1e-3", "rate: '1e-3' is text, write 0.001"),
        ("rate: 1e-5", "rate: '1e-5' is text, write 1.0e-05"),
        ("rate: yes", "rate must be float, got True"),
        ("rate: [0.1]", r"rate must be float, got \(0.1,\)"),
        ("epochs: '10'", "epochs: '10' is text, write 10"),
        ("epochs: 1e3", "epochs: '1e3' is text, write 1000"),
        ("epochs: many", "epochs must be int, got 'many'"),
        ("epochs: 2.5", "epochs must be int, got 2.5"),
        ("epochs: true", "epochs must be int, got True"),
        ("epochs: null", "epochs must be int, got None"),
        ("crop: 1.5", r"crop must be int \| None, got 1.5"),
        ("l2: [0.1, 1e-3]", "l2: '1e-3' is text, write 0.001"),
        ("l2: [0.1, none]", r"l2 must be float \| tuple\[float, ...\], got \(0.1, 'none'\)"),
        ("augment: 1", "augment must be bool, got 1"),
        ("standin: 1", r"standin must be bool \| str, got 1"),
        ("steps: 8", "steps must be str, got 8"),
        ("filters: {a: 8}", r"filters must be .*Mapping\[str, str\], got \{'a': 8\}"),
        ("filters: 8-4", r"filters must be .*Mapping\[str, str\], got '8-4'"),
        ("options: {a: [{b: 1e-3}]}", "options: '1e-3' is text, write 0.001"),
        ("estimators: [{width: 1e-1}]", "estimators: '1e-1' is text, write 0.1"),
        ("estimators: {width: 0.1}", "estimators must be .*, got {'width': 0.1}"),
        ("epochs: -1", "epochs must not be negative, got -1"),
        ("notes: [a]", "no notes are taken"),
    ],
)
def test_values_of_another_kind_or_refused_are_named_with_their_place(write, given, words):
    write(f"n1: {{common: {{epochs: 1, options: {{}}}}, runs: {{a: {{}}, b: {{{given}}}}}}}")
    with pytest.raises(ValueError, match=f"^smoke.yaml, n1, run 'b': {words}$"):
        configs("smoke", "n1", Config)


def test_values_of_the_right_kind(write):
    write("""
n1:
  common: {epochs: 1, options: {}}
  runs:
    a: {rate: 1, crop: null, l2: 1.0e-3, augment: yes, standin: only, steps: 8-4}
    b: {rate: 1.0e-3, crop: 3, l2: [0, 0.5], standin: true, filters: {c: "8"}}
    c: {options: {name: vgg11, width: 0.5}, estimators: [{estimator: kde, noise_variance: 0.1}]}
""")
    found = configs("smoke", "n1", Config)
    one = {"rate": 1, "l2": 0.001, "augment": True, "standin": "only", "steps": "8-4"}
    assert found["a"] == Config(1, {}, **one)
    two = {"rate": 0.001, "crop": 3, "l2": (0, 0.5), "standin": True, "filters": {"c": "8"}}
    assert found["b"] == Config(1, {}, **two)
    estimators = ({"estimator": "kde", "noise_variance": 0.1},)
    assert found["c"] == Config(1, {"name": "vgg11", "width": 0.5}, estimators=estimators)


def test_unknown_profile():
    for function in (lambda: read("lap"), lambda: section("lap", "01_szt_saxe")):
        with pytest.raises(ValueError, match="unknown profile 'lap'; known profiles: smoke, lapt"):
            function()


# ---------------------------------------------------------------- the files of the project


class Strict(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML would silently take the second."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        if len(set(keys)) < len(keys):
            raise ValueError(f"a key is given twice: {keys}")
        return super().construct_mapping(node, deep)


def test_smoke_is_there():
    assert "smoke" in PRESENT


@pytest.mark.parametrize("profile", PRESENT)
def test_no_key_is_given_twice(profile):
    text = profiles.resources.files(profiles.__name__).joinpath(f"{profile}.yaml").read_text()
    assert yaml.load(text, Strict) == read(profile)
    with pytest.raises(ValueError, match="given twice"):
        yaml.load("a: {b: 1, b: 2}", Strict)


@pytest.mark.parametrize(("profile", "notebook"), SECTIONS)
def test_every_section_loads_into_one_configuration(profile, notebook):
    values = section(profile, notebook)
    if "runs" not in values:
        return
    fitting = []
    for kind in kinds():
        try:
            fitting.append(configs(profile, notebook, kind))
        except ValueError as error:
            assert "unknown fields" in str(error) or "missing fields" in str(error)  # noqa: PT017
    assert len(fitting) == 1
    assert list(fitting[0]) == list(values["runs"])


@pytest.mark.parametrize("profile", PRESENT)
def test_every_notebook_is_in_every_profile(profile):
    assert list(read(profile)) == list(read("smoke"))


@pytest.mark.parametrize(("profile", "notebook"), SECTIONS)
def test_stand_ins_only_where_the_profile_allows_them(profile, notebook):
    """Smoke takes nothing else; paper never takes one."""
    values = section(profile, notebook)
    for change in values.get("runs", {}).values():
        fields = {**values.get("common", {}), **(change or {})}
        if "dataset" in fields:
            allowed = fields.get("allow_standin", False)
            if profile == "smoke":
                assert allowed == "only"
            if profile == "paper":
                assert allowed is False or fields["dataset"] == "szt"
