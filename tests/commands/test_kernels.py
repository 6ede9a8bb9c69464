"""Notebooks executed side by side."""

import sys
import threading
from pathlib import Path

import pytest

from soaklib.commands import kernels
from soaklib.errors import SoaklibError

NOTEBOOKS = {Path(f"{number}.ipynb"): {"run_id": str(number)} for number in range(5)}


class Server:
    """Knows whether it was ended."""

    def __init__(self):
        self.ended = threading.Event()
        self.end = self.ended.set


@pytest.fixture
def two_at_once(monkeypatch):
    monkeypatch.setattr(kernels, "_side_by_side", lambda: 2)


@pytest.mark.usefixtures("two_at_once")
def test_two_run_at_once_and_are_given_in_their_order(monkeypatch, tmp_path):
    """The second begins before the first has ended; each has its own parameters, and its place in the folder."""
    both = threading.Barrier(2, timeout=30)
    seen, begun = {}, []

    def execute(source, target, parameters, _server):
        if source.stem in {"0", "1"}:
            both.wait()
        seen[source] = (target, parameters)

    monkeypatch.setattr(kernels, "execute", execute)
    done = kernels.execute_all(NOTEBOOKS, tmp_path, Server(), started=begun.append)
    assert done == [tmp_path / source.name for source in NOTEBOOKS]
    assert seen == {source: (tmp_path / source.name, parameters) for source, parameters in NOTEBOOKS.items()}
    assert sorted(begun) == ["0", "1", "2", "3", "4"]


@pytest.mark.usefixtures("two_at_once")
def test_one_that_fails_ends_those_under_way_and_none_begins_after_it(monkeypatch, tmp_path):
    """The error is that of the notebook that failed, not of the ones that were ended for it."""
    server, begun = Server(), []

    def execute(source, *_):
        assert source.stem == "1" or server.ended.wait(30)
        raise SoaklibError(source.stem)

    monkeypatch.setattr(kernels, "execute", execute)
    with pytest.raises(SoaklibError, match=r"^1$"):
        kernels.execute_all(NOTEBOOKS, tmp_path, server, started=begun.append)
    assert server.ended.is_set()
    assert set(begun) <= {"0", "1", "2"}


def test_work_of_the_callers_own_takes_the_place_of_a_notebook(monkeypatch, tmp_path):
    """With one place no notebook begins before it is done; with two, one runs meanwhile."""
    events = []
    monkeypatch.setattr(kernels, "execute", lambda source, *_: events.append(source.stem))
    for at_once in (1, 2):
        ran = threading.Event()
        monkeypatch.setattr(kernels, "_side_by_side", lambda at_once=at_once: at_once)

        def own_work(at_once=at_once, ran=ran):
            assert at_once == 1 or ran.wait(30)
            events.append("own")

        kernels.execute_all(NOTEBOOKS, tmp_path, Server(), started=lambda _, ran=ran: ran.set(), meanwhile=own_work)
        assert at_once == 2 or events[0] == "own"
        assert sorted(events) == ["0", "1", "2", "3", "4", "own"]
        events.clear()


@pytest.mark.usefixtures("two_at_once")
def test_work_of_the_callers_own_that_fails_ends_the_notebooks(monkeypatch, tmp_path):
    """The error is its own; what was under way is ended, and nothing begins after it."""
    server, begun, under_way = Server(), [], threading.Event()

    def execute(source, *_):
        under_way.set()
        assert server.ended.wait(30)
        raise SoaklibError(source.stem)

    def own_work():
        assert under_way.wait(30)
        raise SoaklibError(own_work.__name__)

    monkeypatch.setattr(kernels, "execute", execute)
    with pytest.raises(SoaklibError, match=r"^own_work$"):
        kernels.execute_all(NOTEBOOKS, tmp_path, server, started=begun.append, meanwhile=own_work)
    assert server.ended.is_set()
    assert begun == ["0"]


@pytest.mark.parametrize(("cores", "memory_bytes", "kernels_at_once"), [(8, 1 << 40, 8), (8, 6 << 30, 3), (None, 1, 1)])
def test_there_are_as_many_as_cores_and_memory_allow(monkeypatch, cores, memory_bytes, kernels_at_once):
    """One at least."""
    monkeypatch.setattr(kernels.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(kernels, "usable_memory_bytes", lambda: memory_bytes)
    assert kernels._side_by_side() == kernels_at_once


def test_what_is_imported_for_nothing_is_left_out_and_can_be_imported_later(tmp_path, monkeypatch):
    """Whoever looks for it meanwhile does without it; what is there already stays."""
    (tmp_path / "costly_module.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with kernels._without("costly_module", "json"):
        with pytest.raises(ModuleNotFoundError):
            import costly_module  # noqa: PLC0415 - that it cannot be imported here is what is tested
        assert sys.modules["json"] is not None
    import costly_module  # noqa: PLC0415 - as above

    monkeypatch.delitem(sys.modules, costly_module.__name__)
