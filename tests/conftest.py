"""What tests of several parts share: a real rehearsal, made once, and in which order and where tests run."""

import gc
import os
import signal
import sys
import tempfile
from pathlib import Path

import hypothesis
import pytest

gc.disable()  # until all is imported and collected

# jsonschema, which nbformat is built on, would read 38 grammars of a format that no notebook has: a second a worker
sys.modules["rfc3987_syntax"] = None

# what soaklib keeps of this user's runs is not to be mixed with the tests'
_STATE = tempfile.TemporaryDirectory(prefix="soaklib-state-")
os.environ["XDG_STATE_HOME"] = _STATE.name

# whom this machine trusts is no part of a test; and to read them takes each process that imports aiohttp 0.1 s
os.environ.setdefault("SSL_CERT_FILE", os.devnull)

sys.path.insert(0, str(Path(__file__).parent))  # for the helper modules beside this file

from process_guard import ProcessGuard  # noqa: E402 - found by the line above
from rehearsals import REHEARSAL, Rehearsal, run_command, shared  # noqa: E402 - found by the line above
from sharing_out import Sort, place_of, sort_of  # noqa: E402 - found by the line above
from thoroughness import examples  # noqa: E402 - found by the line above

# a busy machine is slow, not wrong; and what CI says must be the same when it is asked again
hypothesis.settings.register_profile(
    "soaklib", deadline=None, derandomize="CI" in os.environ, max_examples=examples(100)
)
hypothesis.settings.load_profile("soaklib")

_GUARD = ProcessGuard()


def pytest_ignore_collect(collection_path, config):
    """Import no module that has none of the tests that are asked for: each worker would, and most have one sort.

    Nor what is beside them in a folder in which no module has any.
    """
    unwanted = {"slow": Sort.FAST, "not slow": Sort.SLOW}.get(config.option.markexpr)
    if unwanted is None:
        return None  # which lets others say
    modules = sorted(collection_path.rglob("test_*.py")) if collection_path.is_dir() else [collection_path]
    modules = [path for path in modules if path.name.startswith("test_")]
    return (modules != [] and all(sort_of(path) is unwanted for path in modules)) or None


@pytest.hookimpl(tryfirst=True)  # before -m is asked
def pytest_collection_modifyitems(items):
    """Mark what needs a rehearsal as slow, and put what takes long first."""
    for item in items:
        if "rehearsal" in item.fixturenames:
            item.add_marker(pytest.mark.slow)
        if sort_of(item.path) is (Sort.FAST if item.get_closest_marker("slow") else Sort.SLOW):
            msg = f"{item.nodeid}: its file does not say which sort of tests it has; see tests/sharing_out.py"
            raise pytest.UsageError(msg)
    items.sort(key=place_of)


def pytest_collection_finish():
    """Collect garbage from here on, and none of what was imported and collected: it stays, and is much."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Let no test start a process that is not marked as slow; fixtures that it is the first to need included."""
    with _GUARD.watching(item):
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def _sample_stays_open():
    """The sample's database, for as long as a worker lives: each test that reads it shares it, and makes none."""
    import duckdb  # noqa: PLC0415 - the process that only shares tests out has no need of it

    from soaklib.analysis.sources.run import find_run  # noqa: PLC0415 - the same
    from soaklib.store.tables import DATABASE_NAME  # noqa: PLC0415 - the same

    with duckdb.connect(str(find_run("sample") / DATABASE_NAME), read_only=True):
        yield


@pytest.fixture(scope="session")
def rehearsal(tmp_path_factory):
    """A rehearsal of two soak-hours against the embedded gateway, one for all workers; nobody may change it."""
    make = lambda folder: run_command(*REHEARSAL, "--out", str(folder))  # noqa: E731 - said once, here
    return Rehearsal(shared(tmp_path_factory, "rehearsal", make))


@pytest.fixture
def hangup_is_heard():
    """Let SIGHUP do what it does by default; it is ignored, here and in what is started here, under ``nohup``."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
