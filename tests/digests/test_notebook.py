"""The notebook of kept runs, executed once; the page that is made of it."""

import subprocess
from pathlib import Path

import nbformat
import pytest

from soaklib.commands.forked import KernelServer
from soaklib.commands.kernels import execute
from soaklib.commands.report import find_notebooks
from soaklib.store.shipped import NOTEBOOKS, shipped

ROOT = Path(__file__).resolve().parents[2]
SOURCE = shipped(NOTEBOOKS) / "85-gateways.ipynb"


def test_no_report_has_it():
    """It is about many runs; a report is about one."""
    assert SOURCE.is_file()
    assert SOURCE not in find_notebooks()


@pytest.mark.slow
def test_it_shows_the_table_and_what_is_told_apart(kept_folder, tmp_path):
    """Executed on the made-up set: each gateway has its row, and the conclusion follows from the pairs."""
    with KernelServer() as server:
        execute(SOURCE, tmp_path / "executed.ipynb", {"folder": str(kept_folder)}, server)
    notebook = nbformat.read(tmp_path / "executed.ipynb", as_version=4)
    shown = [output.data for cell in notebook.cells for output in cell.get("outputs", ()) if "data" in output]
    said = [data["text/markdown"] for data in shown if "text/markdown" in data]
    assert all(f"| {name} |" in said[0] for name in ("direct-openai", "slow", "thin"))
    assert said[-1].startswith("3 kept runs of 45 to 45 minutes.")
    assert "- **median**, fast:chat: slow less direct-openai +" in said[-1]
    assert sum("image/png" in data for data in shown) == 2


@pytest.mark.slow
def test_a_page_is_made_of_it(kept_folder, tmp_path):
    """One command: HTML with the table, without code."""
    page = tmp_path / "page.html"
    command = [ROOT / "scripts" / "gateways" / "page", page, kept_folder]
    made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert made.returncode == 0, made.stderr
    text = page.read_text("utf-8")
    assert "<td>direct-openai</td>" in text
    assert "read_digests" not in text
