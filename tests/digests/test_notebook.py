"""The notebook of kept runs, by way of the page that is made of it."""

import subprocess
from pathlib import Path

import pytest

from soaklib.commands.report import find_notebooks
from soaklib.store.shipped import NOTEBOOKS, shipped

ROOT = Path(__file__).resolve().parents[2]
SOURCE = shipped(NOTEBOOKS) / "85-gateways.ipynb"


def test_no_report_has_it():
    """It is about many runs; a report is about one."""
    assert SOURCE.is_file()
    assert SOURCE not in find_notebooks()


@pytest.mark.slow
def test_a_page_is_made_of_it(kept_folder, tmp_path):
    """One command: HTML without code. Each gateway has its row, and the conclusion follows from the pairs."""
    page = tmp_path / "page.html"
    command = [ROOT / "scripts" / "gateways" / "page", page, kept_folder]
    made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert made.returncode == 0, made.stderr
    text = page.read_text("utf-8")
    assert all(f">{name}</td>" in text for name in ("direct-openai", "slow", "thin"))
    assert "3 kept runs of 45 to 45 minutes." in text
    assert "<strong>median</strong>, fast:chat: slow less direct-openai +" in text
    assert text.count('<img alt="No description has been provided for this image"') == 2
    assert "read_digests" not in text
