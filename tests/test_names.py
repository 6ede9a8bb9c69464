"""What users hold on to: public names, the names of commands, and modules that stay small enough to read."""

import ast
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import soaklib
from soaklib import errors
from soaklib.commands.main import COMMANDS
from soaklib.errors import MissingExtraError

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "soaklib"
MOST_LINES = 400

PROMISED = (
    "open_run", "read_exposition", "exposition_repairs", "read_snapshots", "read_events", "read_database",
    "read_prometheus", "success_rate", "denials", "latency", "increase", "drift", "effect", "power", "compare",
    "reconcile", "criteria", "charts", "Run", "SoaklibError", "__version__",
)  # fmt: skip
OF_A_RUN = (
    "outcomes", "samples", "events", "health", "verdicts", "sql", "folder", "info", "thresholds", "close",
    "between", "metric", "verdict", "plot", "export",
)  # fmt: skip
MODULES = ("run", "report", "collect", "verify", "changes", "weekly", "gateway")


@pytest.mark.parametrize("name", sorted({*PROMISED, *soaklib.__all__}))
def test_a_public_name_is_there(name):
    """Those that are promised are listed, and each that is listed is found."""
    assert name in soaklib.__all__
    assert getattr(soaklib, name) is not None
    assert name in dir(soaklib)


def test_a_run_has_what_is_promised():
    """Its methods and attributes, on a run that is opened."""
    with soaklib.open_run(ROOT / "data" / "sample") as run:
        assert [name for name in OF_A_RUN if not hasattr(run, name)] == []
        drawn = {name for name in dir(run.plot) if not name.startswith("_")}
    assert drawn <= set(soaklib.charts.__all__)


def test_the_list_for_tools_is_the_list_that_is_loaded():
    """What editors and type checkers see is what is resolved at first use."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    told = {name.name for node in block.body if isinstance(node, ast.ImportFrom) for name in node.names}
    assert told | {"__version__"} == set(soaklib.__all__)


@pytest.mark.parametrize("module", MODULES)
def test_a_command_is_a_module_too(module):
    """`python -m soaklib.NAME` has a `main` and is what `soaklib NAME` runs."""
    name, own = f"soaklib.{module}", f"soaklib.commands.{module}"
    if module == "gateway":
        name = own = "soaklib.gateway.server"
    assert callable(importlib.import_module(name).main)
    assert COMMANDS[module].module == own
    assert (PACKAGE / f"{module}.py").is_file() or (PACKAGE / module / "__main__.py").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_a_command_tells_its_flags(module):
    """`python -m soaklib.NAME --help` ends well and says how it is used."""
    ended = subprocess.run(
        [sys.executable, "-m", f"soaklib.{module}", "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, "usage:" in ended.stdout.lower()) == (0, True)


def test_a_name_that_is_missed_by_little_is_suggested():
    """As Python does it for its own, in every version."""
    with pytest.raises(AttributeError, match=r"no attribute 'sucess_rate': did you mean success_rate\?"):
        _ = soaklib.sucess_rate


def test_a_name_that_needs_an_extra_says_which(monkeypatch):
    """One sentence, and still the error that Python has for it; what no extra brings is a defect as it is."""

    def lacking(package):
        def fail(_):
            raise ModuleNotFoundError(package, name=package)

        return fail

    monkeypatch.delitem(vars(soaklib), "latency", raising=False)
    monkeypatch.setattr(soaklib, "import_module", lacking("numpy.linalg"))
    said = r"^soaklib\.latency needs numpy, which is not installed: pip install 'soaklib\[statistics\]'$"
    with pytest.raises(MissingExtraError, match=said) as caught:
        _ = soaklib.latency
    assert isinstance(caught.value, ModuleNotFoundError)
    assert caught.value.name == "numpy"
    monkeypatch.setattr(soaklib, "import_module", lacking("soaklib.lost"))
    with pytest.raises(ModuleNotFoundError, match=r"^soaklib\.lost$"):
        _ = soaklib.latency


def test_the_extras_that_are_named_are_there():
    """As the project's metadata has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(errors._EXTRAS.values()) <= set(project["optional-dependencies"])
    assert {command.extra for command in COMMANDS.values()} <= set(project["optional-dependencies"])


def test_no_module_is_too_long_to_read():
    """Past 400 lines a module has a second noun that wants a room of its own; a module of tests, a second subject."""
    modules = (path for folder in (PACKAGE, ROOT / "tests") for path in folder.rglob("*.py"))
    lengths = {path.relative_to(ROOT): len(path.read_text("utf-8").splitlines()) for path in modules}
    assert {str(path): n for path, n in lengths.items() if n > MOST_LINES} == {}
