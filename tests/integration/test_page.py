"""The page in a real browser: zoom, hover, switches, and that nothing is asked of the world outside.

Needs ``chromium`` and ``chromedriver``, as the tests of JupyterLab do. The page is held to the rules of axe-core, which
comes with a development dependency; AXE_JS names the axe.min.js of another version.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import pytest
from lab_browser import notebook_page
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By

import soaklib
from soaklib.analysis.verdicts.criteria import CRITERIA
from soaklib.page import server as served
from soaklib.page.data import page_data
from soaklib.page.html import html_page
from soaklib.page.server import PageServer

pytestmark = pytest.mark.slow

_SAMPLE = Path(__file__).parents[2] / "data" / "sample"
_EVIL = "</script><img src=x onerror='window.evil=1'><b>x</b>"
_TIP = """
const found = [];
const look = root => root.querySelectorAll('*').forEach(one => {
    if (one.shadowRoot) { look(one.shadowRoot); }
    if ([...one.classList].some(name => name.startsWith('bk-tooltip-row-value'))) found.push(one.textContent.trim());
});
look(document);
return found;
"""


@pytest.fixture(scope="module")
def data():
    """What the page of the sample run shows."""
    with soaklib.open_run(_SAMPLE) as run:
        return page_data(run)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A running browser."""
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        reason = "no chromium and chromedriver on the path: install the Debian packages chromium and chromium-driver"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    with notebook_page(tmp_path_factory.mktemp("chromium")) as page:
        page.resize(1280, 900)
        yield page


@pytest.fixture(scope="module")
def file(data, tmp_path_factory):
    """The page as a file, with markup among the run's words."""
    seen = {**data, "events": [*data["events"], {"soak_s": 40_000.0, "name": _EVIL, "detail": _EVIL}]}
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html_page([seen]), "utf-8")
    return path


@pytest.fixture
def page(browser, file):
    """The page, opened anew."""
    browser._driver.get_log("performance")
    browser._driver.get(file.as_uri())
    browser.wait(lambda: browser.script("return !!window.soakPage && soakPage.lines().length"), 20, "the charts")
    browser.wait(lambda: browser.script("return !!document.querySelector('#tools *')"), 20, "the last chart")
    return browser


def _ranges(page):
    return page.script("return soakPage.ranges()")


def _drag(page, chart, start_px, width_px):
    element = page._driver.find_element(By.ID, chart)
    chain = ActionChains(page._driver)
    chain.move_to_element_with_offset(element, start_px - element.size["width"] // 2, 0).click_and_hold()
    for _ in range(5):
        chain.move_by_offset(width_px // 5, 0)
    chain.release().perform()
    return element


def test_dragging_zooms_every_chart_to_the_same_window_and_a_double_click_goes_back(page):
    """A drag over one chart gives all charts its window; a double click in another shows the whole run again."""
    assert _ranges(page) == [[0, 24]] * 5
    _drag(page, "success", 200, 150)
    page.wait(lambda: _ranges(page)[0] != [0, 24], 5, "the zoom")
    (start, end) = _ranges(page)[0]
    assert _ranges(page) == [[start, end]] * 5
    assert 0 < start < end < 24
    ActionChains(page._driver).double_click(page._driver.find_element(By.ID, "latency")).perform()
    page.wait(lambda: _ranges(page) == [[0, 24]] * 5, 5, "the whole run")


def test_the_keyboard_zooms_and_moves(page):
    """Buttons do what the mouse does: in, later, whole."""
    for name, expected in (("in", [6, 18]), ("later", [12, 24]), ("whole", [0, 24])):
        page._driver.find_element(By.ID, name).send_keys("\n")
        assert _ranges(page) == [expected] * 5


def test_hovering_says_value_number_and_interval(page, data):
    """A point under the pointer says its window, its value, its number of calls and its interval."""
    place, success = 144, data["success"]
    page.script("document.getElementById('in').click(); document.getElementById('in').click();")
    start, end = _ranges(page)[0]
    element = page._driver.find_element(By.ID, "success")
    x = success["soak_s"][place] / 3600
    y = success["y"][place]
    spot = page.script(
        """
        const view = Object.values(Bokeh.index.roots ?? Bokeh.index)
            .find(one => document.getElementById('success').contains(one.el));
        return [view.frame.x_scale.compute(arguments[0]),
                view.frame.y_scale.compute(arguments[1])];
        """,
        x,
        y,
    )
    assert start < x < end
    chain = ActionChains(page._driver)
    chain.move_to_element_with_offset(
        element, round(spot[0]) - element.size["width"] // 2, round(spot[1]) - element.size["height"] // 2
    ).perform()
    words = page.wait(lambda: page.script(_TIP), 5, "the tooltip")
    assert words[:4] == ["all calls", "H+12", f"{y:.5g} %", str(success["n"][place])]
    assert words[4].endswith("%")


def _on(page, panel):
    return page.script(
        "const shown = soakPage.lines().filter(one => one.panel === arguments[0] && one.on);"
        "return [...new Set(shown.map(one => one.name))]",
        panel,
    )


def _switch(page, group, name):
    page.script(
        "document.querySelector(`#${arguments[0]}-toggles input[value='${arguments[1]}']`).click()", group, name
    )


def test_tools_kinds_and_percentiles_are_switched_on_and_off(page):
    """A line is there or not as its switch says, and its legend with it."""
    assert _on(page, "latency") == ["all tools p50", "all tools p99 in 1h"]
    _switch(page, "percentile", "p50")
    _switch(page, "latency", "openai")
    assert _on(page, "latency") == ["all tools p99 in 1h", "openai p99"]
    _switch(page, "tool", "serpapi")
    assert _on(page, "tools") == ["gmail_send", "http_fetch", "openai"]
    _switch(page, "kind", "ok")
    assert "ok" not in _on(page, "kinds")
    assert "denied" in _on(page, "kinds")
    legend = page.script("return [...document.querySelectorAll('#tools-legend > span')].map(one => one.textContent)")
    assert legend == ["gmail_send", "http_fetch", "openai"]


def test_a_phase_that_is_off_is_a_gap(page, data):
    """The windows of a phase that is switched off have no value; all others keep theirs."""
    _switch(page, "phase", "chaos")
    shown = page.script("return soakPage.lines()[0].y.map(value => Number.isNaN(value) ? null : value)")
    chaos = [43_200 <= s < 45_000 for s in data["success"]["soak_s"]]
    assert sum(chaos) == 6
    assert shown == [None if off else y for off, y in zip(chaos, data["success"]["y"], strict=True)]


def test_a_gap_and_a_bound_are_told(browser, data, tmp_path):
    """Where no runner lived is among what happened, and of calls that were given up no more is said than is known."""
    bound = [
        {**one, "columns": {**one["columns"], "at_least": [True] * len(one["columns"]["y"])}} for one in data["latency"]
    ]
    gap = {"start_s": 21_240.0, "end_s": None, "kind": "gap", "label": "runner was down"}
    path = tmp_path / "gap.html"
    path.write_text(html_page([{**data, "latency": bound, "marks": [*data["marks"], gap]}]), "utf-8")
    browser._driver.get(path.as_uri())
    browser.wait(lambda: browser.script("return !!document.querySelector('#latency *')"), 20, "the last chart")
    assert browser.script("return document.getElementById('changes').textContent").endswith("H+5:54 runner was down")
    assert " to at least " in browser.script("return document.getElementById('latency-says').textContent")
    browser.script("document.getElementById('values-box').open = true")
    cell = "const one = document.querySelector('#values tbody td:last-child'); return one && one.textContent"
    assert browser.wait(lambda: browser.script(cell), 5, "the table").startswith("at least ")


def test_log_axes_and_themes_draw_the_same_window(page):
    """A logarithmic axis, the other measure and the other theme keep what is zoomed to."""
    page.script("document.getElementById('in').click()")
    for act in ("log", "theme"):
        page.script("document.getElementById(arguments[0]).click()", act)
        assert _ranges(page) == [[6, 18]] * 5
    assert page.script("return document.documentElement.dataset.theme") == "dark"
    page.script(
        "const one = document.getElementById('measure'); one.value = 'service'; one.dispatchEvent(new Event('change'))"
    )
    assert _ranges(page) == [[6, 18]] * 5


def test_a_criterion_opens_its_evidence(page, data):
    """One click on a criterion shows what was seen and the query that gives it."""
    button = page._driver.find_element(By.CSS_SELECTOR, "#criteria button")
    button.click()
    shown = page._driver.find_element(By.CSS_SELECTOR, "#criteria tr.evidence:not([hidden])").text
    first = data["criteria"][0]
    assert button.get_attribute("aria-expanded") == "true"
    assert first["detail"] in shown
    assert " ".join(first["query"].split()) in " ".join(shown.split())


def test_the_first_screen_holds_verdict_board_and_both_charts(page):
    """At 1280 x 800 nobody scrolls to the verdict, the board, success or latency."""
    page._driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    )
    bottoms = page.script(
        "return ['sentence', 'board', 'success', 'latency']"
        ".map(id => document.getElementById(id).getBoundingClientRect().bottom)"
    )
    page._driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert max(bottoms) <= 800


def test_on_a_phone_nothing_is_wider_than_the_screen_and_no_word_stands_letter_below_letter(page):
    """At 390 px the page does not scroll sideways, and no row of a criterion or a call is taller than two lines."""
    page._driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    )
    width, tallest = page.script(
        "const rows = [...document.querySelectorAll('#criteria tr, #failures tr, #slowest tr')]"
        ".map(row => row.getBoundingClientRect().height);"
        "return [document.documentElement.scrollWidth, Math.max(...rows)]"
    )
    page._driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width <= 390
    assert tallest < 50


def test_the_log_of_events_gives_its_room_to_what_happened(page):
    """Long names break behind an underscore, and are found whole."""
    _, name, detail = page.script("return [...document.querySelectorAll('#events th')].map(head => head.offsetWidth)")
    assert detail > name
    names = page.script("return [...document.querySelectorAll('#events td:nth-child(2)')].map(one => one.textContent)")
    assert "CREDENTIALS_ROTATED_SUCCESSFULLY" in names


def test_the_strip_gives_the_commonest_events_a_row_each(page, data):
    """Events of one name share a row, and the caption says which: the commonest lowest, all others on the top one."""
    names = [event["name"] for event in data["events"]]
    rows = page.script("return soakPage.lines().find(line => line.panel === 'strip').y")
    place = {"TOKENS_ROTATED": 0, "METRICS_SNAPSHOT": 1}
    assert rows[: len(names)] == [place.get(name, 2) for name in names]
    caption = page.script("return document.getElementById('strip-head').textContent")
    assert caption == "Events, a row each: all others; metrics snapshot; tokens rotated"


def test_a_runs_words_are_text_and_nothing_is_asked_of_the_world(page):
    """Markup among a run's words stays words, nothing is fetched, and the browser has nothing to complain of."""
    assert page.script("return window.evil ?? null") is None
    assert page.script("return document.querySelectorAll('img, b').length") == 0
    assert _EVIL in page.script("return document.getElementById('events').textContent")
    assert page.requests() == []
    assert [entry["message"] for entry in page._driver.get_log("browser")] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(page, theme):
    """No rule of axe-core of serious or critical impact is broken, in either theme."""
    if page.script("return document.documentElement.dataset.theme") != theme:
        page.script("document.getElementById('theme').click()")
    assert _serious(page) == []


def test_axe_finds_nothing_serious_on_the_page_of_several_runs(browser, data, tmp_path):
    """The page of several runs, with a criterion's evidence and the table of values open, keeps the same rules."""
    other = {**data, "run": {**data["run"], "id": "another"}, "criteria": data["criteria"][1:]}
    values = {data["run"]["id"]: 2.0, "another": 5.0}
    weeks = {"table": [{"measure": "p99 [ms]", "values": values, "changed": ["another"]}], "said": ["p99 changed"]}
    path = tmp_path / "several.html"
    path.write_text(html_page([data, other], weeks=weeks), "utf-8")
    browser._driver.get(path.as_uri())
    browser.wait(lambda: browser.script("return !!document.querySelector('#latency *')"), 20, "the last chart")
    browser.script(
        "document.querySelector('#criteria button').click(); document.getElementById('values-box').open = true;"
    )
    cells = browser.script(
        "return [...document.querySelectorAll('#over-runs :is(li, tbody td)')].map(e => e.innerText)"
    )
    assert cells == ["p99 changed", "p99 [ms]", "", "2", "→ 5"]
    course = browser.script(
        "const made = document.querySelector('#weeks svg');"
        "return [made.getAttribute('aria-label'), made.querySelectorAll('line').length,"
        " [...made.querySelectorAll('circle')].map(e => e.getAttribute('cy'))]"
    )
    assert course == ["p99 [ms], 2 runs: 2 to 5", 1, ["22", "6"]]
    assert _serious(browser) == []


def test_what_many_runs_are_found_to_be_can_be_read(browser, data, tmp_path):
    """Their columns are scrolled to, not squeezed until a sign is left; the criterion's name stays in view."""
    path = tmp_path / "many.html"
    path.write_text(html_page([{**data, "run": {**data["run"], "id": f"run-{n}"}} for n in range(12)]), "utf-8")
    browser._driver.get(path.as_uri())
    browser.wait(lambda: browser.script("return !!document.querySelector('#latency *')"), 20, "the last chart")
    cut = browser.script(
        "return [...document.querySelectorAll('#criteria :is(th, td):nth-child(n+3)')]"
        ".filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.innerText)"
    )
    assert cut == []
    left = "return document.querySelector('#criteria tbody td:nth-child(2)').getBoundingClientRect().left"
    browser.script("document.querySelector('#criteria').closest('.scroll').scrollLeft = 900")
    assert browser.script(left) < 100


def _serious(page):
    """Give what axe-core finds of serious or critical impact: rule, impact, and the first elements."""
    axe = os.environ.get("AXE_JS") or files("selenium_axe_python") / "axe-core" / "axe.min.js"
    page.script(Path(str(axe)).read_text("utf-8") + "\nwindow.axe = axe;")
    found = page._driver.execute_async_script(
        "const done = arguments[0];"  # of what is in order it would describe every element, which takes longest
        "axe.run({resultTypes: ['violations']})"
        ".then(result => done(result.violations), problem => done([{id: String(problem)}]))"
    )
    return [
        (one["id"], one.get("impact"), [node["html"][:120] for node in one.get("nodes", [])][:3])
        for one in found
        if one.get("impact") not in {"minor", "moderate"}
    ]


@contextmanager
def _serving(folder):
    """Serve a run's page from a thread; give its address."""
    loop, ready, address = asyncio.new_event_loop(), threading.Event(), []
    stop = asyncio.Event()

    async def serve():
        async with PageServer(folder) as server:
            address.append(server.url)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield address[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def test_a_live_page_takes_newer_data_keeps_its_window_and_ends_with_the_verdict(browser, data, monkeypatch, tmp_path):
    """Newer rows appear without a reload, what is zoomed to stays, and the run's end brings the verdict."""
    now = {**data, "criteria": [], "verdict": {"word": "none", "sentence": "Running: H+1"}}
    now["run"] = {**data["run"], "goes_on": True}
    now["success"] = {name: values[:12] for name, values in data["success"].items()}
    seen = [now]
    monkeypatch.setattr(served, "look", lambda _: seen[0])
    with _serving(tmp_path) as address:
        browser._driver.get(address)
        browser.wait(lambda: browser.script("return window.soakPage && soakPage.lines()[0].y.length") == 12, 20, "data")
        browser.script("document.getElementById('in').click()")
        seen[0] = {**now, "success": {name: values[:24] for name, values in data["success"].items()}}
        browser.wait(lambda: browser.script("return soakPage.lines()[0].y.length") == 24, 10, "newer data")
        assert _ranges(browser) == [[6, 18]] * 5
        seen[0] = data
        sentence = data["verdict"]["sentence"]
        browser.wait(
            lambda: browser.script("return document.getElementById('sentence').textContent") == sentence, 10, "the end"
        )
        rows = browser.script("return document.querySelectorAll('#criteria tbody tr:not(.evidence)').length")
        assert rows == len(data["criteria"]) == len(CRITERIA)
    asked = {url.removeprefix(address) for url in browser.requests()}
    assert asked == {"", "data.json"}
    browser.wait(
        lambda: "No newer data" in browser.script("return document.getElementById('stale').textContent"), 10, "x"
    )
    browser._driver.get("about:blank")
