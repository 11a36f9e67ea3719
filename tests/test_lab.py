"""JupyterLab opens on the rendered start page, and its links lead to notebooks with sliders."""

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from ibcore import reproduce

CHECKOUT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture
def lab(tmp_path):
    """The address of a JupyterLab, started as `make lab` does, on sources older than notebooks."""
    recipe = re.search(r"^lab:.*\n\t@\$\(PYTHON\) (.*)$", (CHECKOUT / "Makefile").read_text(), re.M)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    notebooks = shutil.copytree(CHECKOUT / "notebooks", tmp_path / "notebooks")
    for source in notebooks.glob("*.py"):
        os.utime(source, (0, 0))
    options = ["--no-browser", "--allow-root", "--IdentityProvider.token=", f"--port={port}"]
    folders = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    server = subprocess.Popen(
        [sys.executable, *shlex.split(recipe.group(1)), *options],
        cwd=tmp_path,
        env=os.environ | {name: str(tmp_path / name) for name in folders},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urlopen(f"{address}/api", timeout=10).close()
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=60)


@pytest.mark.slow
def test_the_start_page_is_rendered_and_leads_to_the_notebooks(lab):
    if CHROMIUM is None:
        pytest.skip("no chromium")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as program:
        browser = program.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(120_000)
        page.goto(lab)
        names = reproduce.notebooks()
        # JupyterLab renders cell after cell and ends with the address of each link under files/.
        links = page.locator('.jp-RenderedMarkdown td a[href*="/files/"]')
        api.expect(links).to_have_count(len(names), timeout=120_000)
        found = [href.rpartition("/")[2].partition("?")[0] for href in hrefs(links)]
        assert sorted(found) == [f"{name}.ipynb" for name in names]
        links.first.click()
        page.locator("h1", has_text="Estimators on data whose answer is known").wait_for()
        browser.close()


def hrefs(links):
    return links.evaluate_all("all => all.map(a => a.href)")
