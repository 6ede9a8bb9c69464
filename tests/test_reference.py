"""The reference of public names, as a reader gets it."""

import re
import subprocess
from pathlib import Path

import pytest

import soaklib

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_reference_is_built_without_a_warning_and_has_every_public_name(tmp_path):
    """Each name of `soaklib` and of `soaklib.charts` has its entry, and so have the columns of the outcomes."""
    built = subprocess.run(
        [ROOT / "scripts" / "docs", tmp_path], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert built.returncode == 0, built.stderr
    assert built.stdout == f"{tmp_path}/index.html\n"
    pages = {page.stem: page.read_text("utf-8") for page in tmp_path.glob("*.html")}
    told = {name for page in pages.values() for name in re.findall(r'<dt class="sig[^>]*id="([^"]+)"', page)}
    names = {f"soaklib.{name}" for name in soaklib.__all__} - {"soaklib.__version__", "soaklib.charts"}
    names |= {f"soaklib.charts.{name}" for name in soaklib.charts.__all__ if callable(getattr(soaklib.charts, name))}
    assert names - told == set()
    assert "first_token_at_us" in pages["records"]
