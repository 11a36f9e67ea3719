"""The book: no broken link, no missing picture, nothing fetched, every verdict, also on a phone."""

import importlib
import inspect
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlparse

import docutils.core
import nbformat
import pytest
from bs4 import BeautifulSoup
from filelock import FileLock
from PIL import Image
from sphinx.ext.napoleon import Config, NumpyDocstring

from ibcore import book, claims, reproduce, results

CHECKOUT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LONG = "drop 0.41 [0.30, 0.52] bit; " * 5 + "noise band < 0.05 bit"
PAPER = "claim,verdict,statistic,seeds,data\nSZT-1,supported,drop 1,10,12-bit task\n"
SMOKE = f"""claim,verdict,statistic,seeds,data
SZT-1,inconclusive,drop 2,3,12-bit task
SZT-2,uninformative (estimator saturated) (stand-in data),"{LONG}",3,digits
SZT-3,supported,drop 3,3,12-bit task
SZT-3,contradicted,drop 4,3,digits
"""


def write_figures(root):
    """Verdicts in two profiles, and the figure of one of them."""
    for profile, text in (("paper", PAPER), ("smoke", SMOKE)):
        folder = root / "figures" / profile / "01_szt_saxe"
        folder.mkdir(parents=True)
        (folder / "claims.csv").write_text(text)
    Image.new("RGB", (40, 30)).save(root / "figures" / "smoke" / "01_szt_saxe" / "planes.png")


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The whole book, apart from most of the reference; once for all processes."""
    root = tmp_path_factory.getbasetemp()
    root = (root.parent if root.name.startswith("popen") else root) / "book-of-the-tests"
    with FileLock(f"{root}.lock"), pytest.MonkeyPatch.context() as patch:
        patch.setenv("IBCORE_OUTPUT", str(root))
        patch.setattr(book, "public_modules", lambda: ["ibcore.estimators"])
        html = root / "build" / "book" / "html"
        if not (html / "index.html").exists():
            shutil.rmtree(root, ignore_errors=True)
            write_figures(root)
            book.build("smoke")
    return html


@pytest.fixture(scope="session")
def pages(site):
    """All pages of the site, read."""
    paths = [path for path in sorted(site.rglob("*.html")) if path.parent.name != "_static"]
    return {path: BeautifulSoup(path.read_text(), "html.parser") for path in paths}


# ---------------------------------------------------------------- the site


def targets(page):
    """What a page refers to: tag and address."""
    for tag, attribute in (("a", "href"), ("img", "src"), ("script", "src"), ("link", "href")):
        for found in page.find_all(tag, **{attribute: True}):
            yield tag, found[attribute]


def test_no_link_is_broken_and_no_picture_is_missing(site, pages):
    identifiers = {
        path: {tag["id"] for tag in page.find_all(id=True)} for path, page in pages.items()
    }
    broken = []
    for path, page in pages.items():
        for tag, address in targets(page):
            parts = urlparse(address)
            if tag == "a" and parts.scheme in ("http", "https"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            found = target.is_file() and not parts.scheme
            if found and parts.fragment and target in identifiers:
                found = unquote(parts.fragment) in identifiers[target]
            if not found:
                broken.append((str(path.relative_to(site)), address))
    assert len(pages) > 25
    assert not broken


def test_every_notebook_and_guide_is_there_with_its_pictures(site, pages):
    for name in reproduce.notebooks():
        page = pages[site / "notebooks" / f"{name}.html"]
        assert page.select("div.cell_output img")
        assert "Executed in the smoke profile." in page.text
        assert page.select("details.solutions li")
    guides = ("own_network", "data", "cluster", "deviations", "notation")
    for name in (*guides, "api/ibcore.estimators"):
        assert len(pages[site / f"{name}.html"].select_one("article").text) > 1000


def test_formulas_are_drawn_by_a_program_of_the_site(site, pages):
    page = pages[site / "notebooks" / "01_szt_saxe.html"]
    assert page.select("div.math")
    assert (site / "_static" / "mathjax.js").stat().st_size > 1e6
    assert [tag for tag in page.find_all("script", src=True) if "mathjax.js" in tag["src"]]


def rows(page):
    """The verdicts on a page, by claim."""
    found = {}
    for row in page.select("table.verdicts tbody tr"):
        claim = row.b.text
        if claim in found:
            claim += ", again"
        found[claim] = {cell["data-label"]: cell for cell in row.find_all("td")}
    return found


def test_the_front_page_has_every_claim(site, pages):
    found = rows(pages[site / "index.html"])
    published = claims.published()
    assert [name for name in found if "again" not in name] == published["claim"].tolist()
    for claim in published.itertuples():
        cells = found[claim.claim]
        assert claim.statement in cells["claim"].text
        assert cells["source"].text == f"{claim.source}, {claim.where}"
        assert cells["verdict"].text.strip()
    assert "3 of 38 claims have been run" in pages[site / "index.html"].text


def test_a_verdict_says_what_it_rests_on(site, pages):
    found = rows(pages[site / "index.html"])
    assert found["SZT-1"]["verdict"].text == "supported"
    assert found["SZT-1"]["profile"].text == "paper"
    assert found["SZT-1"]["statistic"].text == "drop 1; seeds: 10"
    assert found["SZT-2"]["verdict"].text.endswith("(stand-in data)")
    assert found["SZT-2"]["statistic"].text == f"{LONG}; seeds: 3"
    assert found["SZT-2"]["data"].text == "digits"
    links = [link["href"] for link in found["SZT-2"]["figure"].find_all("a")]
    assert links == ["figures/smoke/01_szt_saxe/planes.png", "notebooks/01_szt_saxe.html"]
    assert [link.text for link in found["SZT-1"]["figure"].find_all("a")] == ["notebook 01"]
    assert found["SZT-3"]["verdict"].text == "supported"
    assert found["SZT-3, again"]["verdict"].text == "contradicted"
    assert found["SZT-3, again"]["claim"].text == "SZT-3"
    assert found["SZT-3, again"]["source"].text == ""
    assert found["LL-1"]["verdict"].text.startswith("not run")
    assert {found["LL-1"][name].text for name in ("figure", "profile", "data")} == {""}


def test_every_claim_and_every_notebook_has_one_chapter(site, pages):
    listed, decided = [], []
    for path in sorted((site / "chapters").iterdir()):
        listed += [
            Path(link["href"]).stem
            for link in pages[path].select("article div.toctree-wrapper a")
            if "#" not in link["href"]
        ]
        here = [name for name in rows(pages[path]) if "again" not in name]
        decided += here
        told = {
            name.text: rule.text
            for name, rule in zip(*map(pages[path].select, ("dt", "dd")), strict=True)
        }
        assert list(told) == here
    assert sorted(listed) == reproduce.notebooks()
    assert sorted(decided) == sorted(claims.published()["claim"])


def test_it_reads_in_a_browser_on_a_phone_without_network(site, tmp_path):
    """Pictures and formulas are drawn, nothing is asked from elsewhere, nothing is too wide."""
    if CHROMIUM is None:
        pytest.skip("no chromium")
    api = pytest.importorskip("playwright.sync_api")
    failed = []
    with api.sync_playwright() as program:
        browser = program.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 390, "height": 844}, offline=True).new_page()
        page.on("requestfailed", lambda request: failed.append(request.url))
        page.on("console", lambda told: told.type == "error" and failed.append(told.text))
        page.on("request", lambda asked: asked.url.startswith("http") and failed.append(asked.url))
        for path in sorted(site.glob("*.html")) + sorted(site.glob("[acn]*/*.html")):
            page.goto(path.as_uri())
            pictures = page.eval_on_selector_all(
                "article img", "all => all.map(i => i.naturalWidth)"
            )
            assert all(pictures), path
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
            if formulas := page.locator("article .math:not(mjx-container *)").count():
                page.wait_for_function(
                    "least => document.querySelectorAll('article mjx-container').length >= least"
                    " && document.querySelector('article mjx-container svg')",
                    arg=formulas,
                )
                assert not page.locator("article mjx-merror").count(), path
        page.goto((site / "index.html").as_uri())
        cell = page.locator("table.verdicts td[data-label=statistic]").nth(1).bounding_box()
        assert cell["width"] > 300
        assert cell["x"] + cell["width"] <= 390
        browser.close()
    assert not failed


# ---------------------------------------------------------------- notebooks


def test_solutions_are_folded_and_the_profile_is_named():
    made = book.chapter("01_szt_saxe", "paper")
    assert made.cells[1].source == "*Executed in the smoke profile.*"
    text, code = [cell for cell in made.cells if "solution" in cell.metadata.get("tags", ())]
    assert text.source.startswith("<details class='solutions'><summary>Solutions</summary>\n\n1. ")
    assert text.source.endswith("\n\n</details>")
    assert "hide-cell" in code.metadata["tags"]


@pytest.fixture
def executed():
    """The committed notebook 01, as if it had been executed in the laptop profile."""
    made = nbformat.read(reproduce.SOURCES / "01_szt_saxe.ipynb", as_version=4)
    added = nbformat.v4.new_code_cell("profile = 'laptop'")
    added.metadata["tags"] = ["injected-parameters"]
    made.cells.insert(3, added)
    for cell in made.cells:
        cell.metadata["papermill"] = {"status": "completed", "exception": False}

    def save():
        path = results.executed_notebook("laptop", "01_szt_saxe")
        results.write_atomically(path, nbformat.writes(made))
        return book.executed("01_szt_saxe", "laptop")

    return made, save


def test_the_executed_notebook_is_shown(executed):
    made, save = executed
    if not reproduce.has_cells_of_source("01_szt_saxe", made):
        pytest.fail("run `make pair`")
    assert save() == (made, "laptop")


@pytest.mark.parametrize(
    "note",
    [
        {"status": "failed", "exception": True},
        {"status": "pending", "exception": None},
        {"status": "running", "exception": False},
        {"status": "completed", "exception": None},
        {},
    ],
)
def test_a_notebook_that_did_not_come_to_its_end_is_not_shown(executed, note):
    made, save = executed
    made.cells[-1].metadata["papermill"] = note
    found, profile = save()
    assert profile == "smoke"
    assert found != made


@pytest.mark.parametrize("content", [b"", b'{"cells": [', bytes(100), b"\xff\xfe"])
def test_a_damaged_notebook_is_not_shown(content):
    results.write_atomically(results.executed_notebook("laptop", "01_szt_saxe"), content)
    assert book.executed("01_szt_saxe", "laptop")[1] == "smoke"


def test_an_outdated_notebook_is_not_shown(executed):
    made, save = executed
    made.cells[0].source += "\nAn older text."
    found, profile = save()
    assert profile == "smoke"
    assert found != made


# ---------------------------------------------------------------- sources


def test_figures_of_claims_exist():
    table = results.read_csv(book.PAGES / "figures.csv")
    assert not table.duplicated(["claim", "notebook"]).any()
    assert set(table["claim"]) <= set(claims.published()["claim"])
    for row in table[table["notebook"].isin(reproduce.notebooks())].itertuples():
        text = reproduce.source(row.notebook).read_text()
        family = row.figure.rpartition("_")[0]
        assert f'"{row.figure}"' in text or f'f"{family}_{{' in text, row


def test_the_paper_profile_comes_first(output):
    write_figures(output)
    table = book.verdicts("smoke").set_index("claim")
    assert table.loc["SZT-1", ["profile", "statistic"]].tolist() == ["paper", "drop 1"]
    assert table.loc["SZT-2", "profile"] == "smoke"
    assert table.loc["SZT-4", "profile"] == ""
    assert table.index.nunique() == 38


def test_the_reference_names_public_modules_once():
    modules = book.public_modules()
    assert {"ibcore.estimators", "ibcore.claims", "ibcore.gradcam", "ibcore.datasets.szt"} <= set(
        modules
    )
    assert not {
        "ibcore",
        "ibcore.estimators.kde",
        "ibcore.claims.szt",
        "ibcore._torchvision",
    } & set(modules)
    assert len(modules) == len(set(modules))


NAPOLEON = Config(napoleon_google_docstring=False, napoleon_use_ivar=True, napoleon_use_rtype=False)


@pytest.mark.parametrize("name", book.public_modules())
def test_docstrings_are_readable(name):
    """As reStructuredText, without warnings."""
    module = importlib.import_module(name)
    own = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == name]
    listed = getattr(module, "__all__", [key for key in own if not key.startswith("_")])
    for documented in (module, *(getattr(module, key) for key in listed)):
        if inspect.ismodule(documented) or inspect.isclass(documented) or callable(documented):
            kind = "class" if inspect.isclass(documented) else "function"
            text = NumpyDocstring(inspect.getdoc(documented), NAPOLEON, what=kind, obj=documented)
            told = io.StringIO()
            docutils.core.publish_doctree(
                str(text), settings_overrides={"warning_stream": told, "report_level": 2}
            )
            assert not told.getvalue(), documented


@pytest.mark.slow
def test_the_guide_to_your_own_network_runs(tmp_path):
    text = (book.PAGES / "own_network.md").read_text()
    program = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert "it falls:" in done.stdout
    assert (tmp_path / "plane.png").stat().st_size > 10_000
    assert re.search(r"conv2: entropy \d\.\d\d, with shuffled pixels \d\.\d\d", done.stdout)


def test_costs_are_those_of_the_runs(output):
    folder = output / "figures" / "laptop" / "01_some"
    runs = [{"seconds": 3.0, "device": "CPU"}, {"seconds": 2.4, "device": "a GPU"}]
    results.write_atomically(folder / "manifest.json", results.to_json({"runs": runs}))
    assert book.costs().values.tolist() == [["01_some", "laptop", "CPU, a GPU", 2, "5", "3"]]


# ---------------------------------------------------------------- command line


def test_the_command_says_where_the_book_is(output, monkeypatch, capsys):
    monkeypatch.setattr(book, "build", lambda profile: output / profile / "index.html")
    monkeypatch.chdir(output.parent)
    assert book.main(["--profile", "smoke"]) == 0
    assert capsys.readouterr().out == "Look at output/smoke/index.html\n"


def test_an_unknown_profile_lists_the_known_ones(capsys):
    assert book.main(["--profile", "poster"]) == 1
    assert (
        "unknown profile 'poster'; known profiles: smoke, laptop, paper" in capsys.readouterr().err
    )


def test_a_notebook_without_pair_is_named(sources_without_pairs, capsys):
    assert book.main([]) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert "00_told.ipynb" in message


@pytest.fixture
def sources_without_pairs(tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce, "SOURCES", tmp_path)
    (tmp_path / "00_told.py").write_text("# %%\n1")


@pytest.mark.slow
def test_what_sphinx_says_is_passed_on(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "pages"
    folder.mkdir()
    shutil.copy(book.PAGES / "figures.csv", folder)
    (folder / "conf.py").write_text("raise ValueError('no such setting')")
    monkeypatch.setattr(book, "PAGES", folder)
    monkeypatch.setattr(book, "public_modules", list)
    monkeypatch.setattr(reproduce, "notebooks", list)
    assert book.main([]) == 1
    message = capsys.readouterr().err
    assert "error: Sphinx could not make the book of laptop" in message
    assert "no such setting" in message
