"""JupyterLab as a person uses it: a real server, a real browser, Run > Run All Cells.

Needs ``chromium`` and ``chromedriver`` (Debian packages chromium and chromium-driver) on the path. Without them the
tests skip, except where the environment has CI=true.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.parse
from pathlib import Path

import nbformat
import pytest
from lab_browser import ShownCell, faults, notebook_page
from lab_server import Outside, lab_server, stop

pytestmark = pytest.mark.slow

_PROJECT = Path(__file__).parents[2]
# one with a card, one of two runs, both with charts; that each runs to its end is tested without a browser
_NAMES = ["00-run-summary", "80-compare"]
_OUTPUT = ".jp-NotebookPanel .jp-OutputArea-output"


@pytest.fixture(scope="module", autouse=True)
def _programs():
    """Ask for the browser before anything is started."""
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        reason = "no chromium and chromedriver on the path: install the Debian packages chromium and chromium-driver"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder laid out as the project is, with the sample and one run, a copy of it."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(_PROJECT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns(".*"))
    shutil.copytree(_PROJECT / "data" / "sample", folder / "data" / "sample")
    shutil.copytree(_PROJECT / "data" / "sample", folder / "data" / "runs" / "r1")
    (folder / "data" / "runs" / "latest").symlink_to("r1")
    return folder


@pytest.fixture(scope="module")
def outside():
    """What is asked of the world outside by the server and its kernels ends here."""
    with Outside() as noted:
        yield noted


@pytest.fixture(scope="module")
def lab(_programs, root, outside, tmp_path_factory):
    """A running JupyterLab that shows the folder."""
    with lab_server(root, tmp_path_factory.mktemp("jupyterlab"), outside) as server:
        yield server


@pytest.fixture(scope="module")
def browser(_programs, tmp_path_factory):
    """A browser, used for one notebook after the other."""
    with notebook_page(tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.fixture
def page(lab, browser):
    """The browser; what a notebook left running ends after its test."""
    browser.requests()
    browser.resize(1280, 900)
    yield browser
    lab.end_kernels()


def _write(root, name, *sources, goes_on=None):
    """Write a notebook; those that come after cell number `goes_on` are run though it raises."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    if goes_on is not None:
        cells[goes_on - 1].metadata["tags"] = ["raises-exception"]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), root / "notebooks" / f"{name}.ipynb")
    return f"notebooks/{name}.ipynb"


def _beyond_loopback(addresses):
    return [address for address in addresses if urllib.parse.urlsplit(address).hostname != "127.0.0.1"]


@pytest.mark.parametrize("name", _NAMES)
def test_a_notebook_runs_to_its_end(name, lab, page, outside, tmp_path):
    """Every cell has run, none shows an error or a warning, figures are drawn, and nobody outside was asked."""
    page.open(lab.page(f"notebooks/{name}.ipynb"))
    cells = page.run_all()
    page.screenshot(tmp_path / f"{name}.png")
    assert faults(cells) == []
    assert sum(cell.figures for cell in cells) >= 1
    assert cells[-1].text.strip()  # the conclusion
    asked = page.requests()
    assert asked
    assert _beyond_loopback(asked) == []
    assert outside.requests() == []


def test_what_is_wrong_is_seen(root, lab, page, outside):
    """Each told with its cell: a warning, what raised, what that kept from running, dim words, asking the outside."""
    ask = (
        "import urllib.request\n"
        "try: urllib.request.urlopen('http://soaklib.invalid/kernel', timeout=1)\n"
        "except OSError: print('no answer')"
    )
    dim = "from IPython.display import HTML\nHTML('<p style=\"color:#00664B\">pass</p>')"
    lab.set_theme("JupyterLab Dark")
    failing = "import soaklib\nsoaklib.open_run('no-such-run')"
    path = _write(
        root, "wrong", "import warnings; warnings.warn('odd')", ask, dim, "1 / 0", failing, "'never'", goes_on=4
    )
    page.open(lab.page(path))
    cells = page.run_all()
    found = faults(cells)
    assert [sentence[:27] for sentence in found] == [
        "code cell 1 shows an error:",
        "code cell 4 shows an error:",
        "code cell 5 shows an error:",
        "code cell 6 was not run to ",
    ]
    assert "UserWarning: odd" in found[0]
    assert "ZeroDivisionError: division by zero" in found[1]
    (error,) = cells[4].errors
    assert error.strip().startswith("RunError: there is no run 'no-such-run'; pass its folder, its id")
    assert len(error.strip().splitlines()) == 1, "an error of the library has no traceback"
    assert faults([]) == ["the page shows no code cell"]
    assert faults([ShownCell("", "[*]:", (), "", 0)]) == ["code cell 1 was not run to its end: '[*]:'"]

    ((text, ratio),) = page.contrasts(f"{_OUTPUT} p")
    assert text == "pass"
    assert ratio < 4.5, "dark green on a dark page"

    page.script("fetch('http://soaklib.invalid/page').catch(() => {})")
    assert cells[1].text.strip() == "no answer"
    assert _beyond_loopback(page.requests()) == ["http://soaklib.invalid/page"]
    assert outside.requests() == ["GET http://soaklib.invalid/kernel HTTP/1.1"]


def test_cards_and_verdicts_are_readable(root, lab, page, tmp_path):
    """In a wide and a narrow window, in each theme: nothing is cut, every word stands out from what is behind it."""
    path = _write(
        root,
        "card",
        "import soaklib\nfrom soaklib import charts\nrun = soaklib.open_run()\nrun",
        "charts.verdict_table(soaklib.criteria(run))",
        "charts.event_table(run.events().tail(5))",
    )
    page.open(lab.page(path))
    assert faults(page.run_all()) == []
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        page.choose("Settings", "Theme", theme)
        is_light = str(theme == "JupyterLab Light").lower()
        page.wait_for_script(f"return document.body.dataset.jpThemeLight === '{is_light}'", 10, theme)
        for width_px in (1280, 800):
            page.resize(width_px, 900)
            page.wait_for_script(f"return window.innerWidth <= {width_px}", 10, "the new width")
            page.screenshot(tmp_path / f"card-{theme[11:]}-{width_px}.png")
            sizes = page.script(
                f"return [...document.querySelectorAll('{_OUTPUT}')].map(o => [o.scrollWidth, o.clientWidth])"
            )
            assert len(sizes) == 3
            assert [needed for needed, there in sizes if needed > there] == []
        contrasts = page.contrasts(f"{_OUTPUT} td, {_OUTPUT} th, {_OUTPUT} span, {_OUTPUT} caption")
        assert len(contrasts) > 100
        assert {text: ratio for text, ratio in contrasts if ratio < 4.5} == {}, theme  # WCAG 2.1, level AA


def test_the_live_view_follows_a_run(root, lab, page, tmp_path):
    """While a rehearsal goes on the view is drawn anew with more outcomes each time; after its end it shows the end.

    The rehearsal is longer than a busy machine takes for three looks, and is stopped after them.
    """
    source = nbformat.read(root / "notebooks" / "live.ipynb", as_version=4)
    for cell in source.cells:
        cell.source = cell.source.replace("pause_s = 5.0", "pause_s = 3.0")
    nbformat.write(source, root / "notebooks" / "live-often.ipynb")
    page.open(lab.page("notebooks/live-often.ipynb"))
    runs = root / "data" / "runs"
    words = ("--hours", "10", "--speed", "150", "--rps", "0.2", "--no-report", "--out", str(runs))
    command = [sys.executable, "-m", "soaklib.run", *words]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )  # fmt: skip
    try:
        page.wait(lambda: (runs / "latest" / "live").exists() or process.poll() is not None, 30, "the rehearsal")
        page.start_all()
        seen = [page.wait(lambda: _ok_calls(page), 60, "the first look")]
        for _ in range(2):
            seen.append(page.wait(lambda: _ok_calls(page) > seen[-1] and _ok_calls(page), 60, "the next look"))
        page.wait(lambda: "running, seen at" in page.cells()[-1].text, 10, "what is said of a run that goes on")
        assert process.poll() is None
        page.screenshot(tmp_path / "live.png")
        process.send_signal(signal.SIGINT)
        process.wait(60)
        cells = page.wait_for_end(60)
        page.screenshot(tmp_path / "ended.png")
    finally:
        stop(process)
    assert faults(cells) == []
    assert cells[-1].figures == 2
    assert "SOAK_TEST_INTERRUPTED" in cells[-1].text
    assert re.search(r"status\s+interrupted", cells[-1].text)
    assert _ok_calls(page) > seen[-1]


def _ok_calls(page):
    """Give the number of calls answered with ok that the card of the last cell shows; 0 before there is one."""
    shown = re.search(r"\bok ([\d,]+)", page.cells()[-1].text)
    return int(shown[1].replace(",", "")) if shown else 0
