"""What scripts/setup has pip do."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def set_up(tmp_path):
    """Run scripts/setup in a checkout whose Python only writes down what it is started with; give those lines."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPTS / "setup", tmp_path / "scripts" / "setup")
    (tmp_path / "pyproject.toml").write_text("")
    said = tmp_path / "said"
    tools = tmp_path / ".venv" / "bin"
    tools.mkdir(parents=True)
    for name in ("python", "pip"):
        (tools / name).write_text(f'#!/bin/sh\necho "$@" >>"{said}"\n')
        (tools / name).chmod(0o755)

    def run(*arguments, **environment):
        said.write_text("")
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        subprocess.run([tmp_path / "scripts" / "setup", *arguments], env=kept | environment, check=True)
        return said.read_text().splitlines()

    return run


def _installs(lines):
    return [line for line in lines if "--editable" in line]


@pytest.mark.slow
def test_who_starts_it_at_once_compiles_what_is_imported(set_up):
    """And what is set up so is set up: nothing is done again, whoever asks."""
    [install] = _installs(set_up("now"))
    assert "--no-compile" in install.split()
    assert set_up("now") == set_up() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "environment"),
    [((), {}), (("dev",), {}), (("now",), {"PYTHONDONTWRITEBYTECODE": "1"})],
    ids=["for others", "for tests", "where nothing compiled is kept"],
)
def test_else_everything_is_compiled_once(set_up, arguments, environment):
    """Another user may run it, who can keep nothing; or each process would compile anew."""
    [install] = _installs(set_up(*arguments, **environment))
    assert "--no-compile" not in install.split()
