"""The page as a file: nothing in it runs that is not ours, and it is small."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from copy import deepcopy
from importlib.resources import files
from pathlib import Path

import pytest

import soaklib
from soaklib.errors import SettingsError
from soaklib.page.data import page_data
from soaklib.page.html import PAGE_NAME, _library, as_json, html_page, write_page

_SAMPLE = Path(__file__).parents[2] / "data" / "sample"
_EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>{programs}{policy}\u2028&amp;"


@pytest.fixture(scope="module")
def data():
    """What the page of the sample run shows."""
    with soaklib.open_run(_SAMPLE) as run:
        return page_data(run)


def _scripts(page):
    return re.findall(r"<script>(.*?)</script>", page, re.DOTALL)


def _island(page):
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def test_text_of_a_run_cannot_leave_its_place(data):
    """Markup in a run's id, event or reason comes back as that text, and adds no element to the page."""
    evil = deepcopy(data)
    evil["run"]["id"] = evil["events"][0]["detail"] = evil["criteria"][0]["name"] = _EVIL
    page, plain = html_page([evil]), html_page([data])
    assert page.count("<script") == plain.count("<script")
    assert "<img" not in page
    assert _island(page)["pages"][0] == evil


def test_a_lone_surrogate_is_written_as_an_escape():
    """A text that UTF-8 cannot hold does not keep the page from being written."""
    assert json.loads(as_json({"a": "\ud800"})) == {"a": "\ud800"}


def test_the_policy_names_every_script_and_nothing_else(data):
    """The content security policy has the hash of each script, and lets the page reach nothing."""
    page = html_page([data])
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in _scripts(page)
    ]
    assert policy.split("; ")[:2] == ["default-src 'none'", f"script-src {' '.join(hashes)}"]
    assert "connect-src 'none'" in policy
    assert "connect-src 'self'" in html_page([data], live=True)


def test_the_page_of_a_day_is_under_4_mb(data):
    """The page weighs less than 4 MB, library included."""
    assert 1e6 < len(html_page([data]).encode()) < 4e6


def test_the_page_is_written_into_the_runs_folder(tmp_path):
    """report.html is made beside the run's database, and no part of it stays behind."""
    (tmp_path / "run.duckdb").write_bytes((_SAMPLE / "run.duckdb").read_bytes())
    with soaklib.open_run(tmp_path) as run:
        path = write_page(run)
    assert path == tmp_path.resolve() / PAGE_NAME
    assert sorted(file.name for file in tmp_path.iterdir()) == [PAGE_NAME, "run.duckdb"]
    assert path.read_text("utf-8").startswith("<!doctype html>")


def test_a_lacking_library_is_said(data, monkeypatch):
    """Without bokeh the sentence says what to install."""
    monkeypatch.setattr("soaklib.page.html._library", _library.__wrapped__)
    monkeypatch.setattr("soaklib.page.html.files", _no_module)
    with pytest.raises(SettingsError, match=r"^report\.html needs bokeh, .*: pip install 'soaklib\[page\]'$"):
        html_page([data])


def _no_module(name):
    raise ModuleNotFoundError(name=name)


def test_what_scrolls_on_the_screen_is_whole_in_print():
    """Whatever has a limited height on the screen has none on paper, where it would run into what follows."""
    style = (files("soaklib.page") / "page.css").read_text("utf-8")
    screen, _, paper = style.partition("@media print")
    limited = {
        selector.strip()
        for selectors, rule in re.findall(r"([^{}]+)\{([^{}]*)\}", screen)
        if "max-height" in rule
        for selector in selectors.split(",")
        if selector.strip().endswith(".scroll")
    }
    freed = re.search(r"([^{}]+)\{ max-height: none", paper)[1]
    assert limited == {"#board .scroll", "#log-of-events .scroll", ".wide .scroll"}
    assert limited <= {selector.strip() for selector in freed.split(",")}
