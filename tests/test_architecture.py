"""The rules of the house that a program can check: who imports whom, and what nobody does."""

import ast
import importlib.util
from pathlib import Path

import pytest

import ibcore
from ibcore import results

PACKAGE = Path(ibcore.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# A part imports itself and parts of earlier lines, never one beside it or below it.
LINES = (
    {"_torchvision", "seeds", "estimators"},
    {"models", "datasets"},
    {"training", "gradcam"},
    {"recording"},
    {"pruning", "freezing"},
    {"profiles", "results"},
    {"experiments"},
    {"sweep", "claims", "plotting"},
    {"notebook"},
    {"reproduce"},
    {"book", "costs", "pages"},
    {"__main__"},
)
LINE = {part: number for number, parts in enumerate(LINES) for part in parts}
ALONE = {"estimators", "results", "profiles", "seeds", "_torchvision"}


def module_name(path):
    parts = ("ibcore", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parsed(path):
    return ast.parse(path.read_text())


def imports(path):
    """Absolute names of everything a file imports, at any depth of its functions."""
    module = module_name(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            name = importlib.util.resolve_name(name, package) if node.level else name
            yield from (f"{name}.{alias.name}" for alias in node.names)


def part(module):
    """The first name below ``ibcore``; empty for the package itself and its constants."""
    name = [*module.split("."), ""][1]
    return name if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists() else ""


def own_imports(path):
    return {part(name) for name in imports(path) if name.split(".")[0] == "ibcore"} - {""}


def strings(path):
    """String constants that are no docstrings."""
    tree = parsed(path)
    prose = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in prose
    ]


def calls(path):
    return [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_arrows_point_one_way(path):
    own = part(module_name(path))
    if not own:
        assert own_imports(path) == set()
        return
    assert own in LINE, f"give {own} a place in LINES of this file"
    wrong = {
        other
        for other in own_imports(path) - {own}
        if other not in LINE or LINE[other] >= LINE[own] or own in ALONE
    }
    assert not wrong


@pytest.mark.parametrize("own", ["models", "datasets"])
def test_models_and_datasets_stand_beside_each_other(own):
    files = [path for path in FILES if part(module_name(path)) == own]
    assert files
    assert set().union(*map(own_imports, files)) <= {own, "_torchvision", "seeds"}


def test_the_import_rule_can_fail(tmp_path, monkeypatch):
    bad = PACKAGE / "estimators" / "bad.py"
    source = "def f():\n    from ..training import fit\n    import ibcore.claims as c\n"
    monkeypatch.setattr(Path, "read_text", lambda self: source)
    assert own_imports(bad) == {"training", "claims"}


def test_claims_and_plotting_need_no_torch(python):
    python(
        "import sys, ibcore.claims, ibcore.plotting, ibcore.results, ibcore.profiles\n"
        "found = [name for name in sys.modules if name.split('.')[0] == 'torch']\n"
        "assert not found, found"
    )


def test_nothing_imports_notebooks():
    for path in FILES:
        assert not {name for name in imports(path) if name.split(".")[0] == "notebooks"}


def test_only_results_knows_output_paths():
    def names_one(text):
        return "data/runs" in text or text.split("/")[0] in ("figures", "run.json")

    knowing = {module_name(path) for path in FILES if any(map(names_one, strings(path)))}
    assert knowing == {"ibcore.results"}
    folders = results.runs_folder(), results.figures_folder("smoke", "01")
    root = results.output_root()
    assert [str(folder.relative_to(root)) for folder in folders] == [
        "data/runs",
        "figures/smoke/01",
    ]


def test_plotting_neither_saves_nor_shows():
    nodes = [
        node for path in (PACKAGE / "plotting").glob("*.py") for node in ast.walk(parsed(path))
    ]
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    assert not used & {"savefig", "show", "pause", "draw", "ion"}
    assert "subplots" in used


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_no_assert_statement(path):
    assert not [node.lineno for node in ast.walk(parsed(path)) if isinstance(node, ast.Assert)]


GLOBAL = {
    "torch.manual_seed",
    "torch.seed",
    "torch.random.manual_seed",
    "torch.cuda.manual_seed",
    "torch.cuda.manual_seed_all",
}
EXPLICIT = {"default_rng", "Generator", "SeedSequence"}


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_no_global_randomness(path):
    called = {ast.unparse(call.func) for call in calls(path)}
    assert not called & GLOBAL
    from_numpy = {
        node.attr
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node.value) in ("np.random", "numpy.random")
    }
    assert from_numpy <= EXPLICIT
    assert not [name for name in imports(path) if name.split(".")[0] == "random"]


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_no_estimate_is_clipped_at_zero(path):
    def is_zero(node):
        return isinstance(node, ast.Constant) and node.value == 0

    largest = [c for c in calls(path) if ast.unparse(c.func) in ("max", "np.maximum") and c.args]
    assert not [call.lineno for call in largest if is_zero(call.args[0])]
