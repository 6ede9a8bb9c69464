"""What importing costs, and who may import whom."""

import subprocess
import sys

import pytest

import soaklib

HEAVY = ("aiohttp", "matplotlib", "pandas", "scipy")


@pytest.mark.slow
def test_importing_soaklib_is_cheap_and_loads_nothing_heavy():
    """Under half a second of CPU time, without aiohttp, matplotlib, pandas or scipy."""
    script = (
        "import time; started = time.process_time(); import soaklib, sys\n"
        f"print(time.process_time() - started, [name for name in {HEAVY} if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    cpu_s, loaded = ended.stdout.strip().split(" ", 1)
    assert loaded == "[]"
    assert float(cpu_s) < 0.5


@pytest.mark.slow
def test_a_sender_loads_nothing_that_only_readers_need():
    """There is one for each lane of a fleet: it has no frames."""
    script = "import soaklib.commands.send, sys; print([name for name in ('polars', 'numpy') if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


@pytest.mark.slow
def test_charts_load_no_pyplot_and_no_database():
    """Importing the charts brings neither pyplot nor anything that queries."""
    code = (
        "import sys, soaklib.charts; "
        "print([m for m in ('matplotlib.pyplot', 'duckdb', 'pandas', 'scipy', 'aiohttp') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_public_name_is_there():
    """Each name of __all__ resolves, is documented, and is offered by dir()."""
    assert dir(soaklib) == sorted(soaklib.__all__)
    for name in soaklib.__all__:
        assert getattr(soaklib, name).__doc__, name


def test_a_name_that_is_not_there_is_an_attribute_error():
    """As of any module."""
    assert not hasattr(soaklib, "no_such_name")


@pytest.mark.slow
def test_the_import_contracts_hold():
    """As pyproject.toml states them."""
    ended = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    assert "0 broken" in ended.stdout
