"""The sample run, its claims, and copies of it that a test may change."""

import pickle
from contextlib import ExitStack
from pathlib import Path

import pytest
from known_files import changed_copy
from rehearsals import made_once

import soaklib
from soaklib.whitepaper import ledger
from soaklib.whitepaper.catalogue import CATALOGUE
from soaklib.whitepaper.ledger import Ledger
from soaklib.whitepaper.prose import Writer

_SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"


class _AskedClaims(dict):
    """Claims by name; whoever wants one has its family asked."""

    def __init__(self, ledger):
        super().__init__()
        self._ledger = ledger

    def __missing__(self, name):
        family, _, key = name.rpartition(".")[0].partition("[")
        if family == "criteria":
            self._ledger.judge(key.removesuffix("]"))
        else:
            self._ledger.rows(family)
        if name in self:
            return self[name]
        raise KeyError(name)

    def get(self, name, default=None):
        try:
            return self[name]
        except KeyError:
            return default


class AskedLedger(Ledger):
    """The claims of a run, of which only those are made that a part of the paper names.

    Parameters
    ----------
    run
        The run.
    judged
        The criteria whose rows it has; any other is judged when it is named.
    """

    def __init__(self, run, *judged):
        super().__init__(run, [])
        self._run, self._judged, self._library = run, judged, ledger.Remembered(soaklib)
        self.claims = _AskedClaims(self)

    def rows(self, family):
        if family == "criteria" and self._judged:
            return self.judge(*self._judged)
        if family not in self._rows:
            [one] = [one for one in CATALOGUE if one.name == family]
            self._rows[family] = self._told(one, one.query_for(self._run))
        return self._rows[family]

    def judge(self, *names):
        """Ask some criteria in place of all, and give their rows."""
        [family] = [one for one in CATALOGUE if one.name == "criteria"]
        assert family.query == "soaklib.criteria(run)"
        if names not in self._rows:
            self._rows[names] = self._told(family, f"soaklib.criteria(run, {', '.join(map(repr, names))})")
        return self._rows[names]

    def _told(self, family, query):
        """Make the claims of a query, which has from the others what both of them call, and give its rows."""
        rows = ledger._rows(family, query, ledger.evaluate(self._run, query, self._library))
        self.claims.update((claim.name, claim) for row in rows for claim in row.claims.values())
        return rows


@pytest.fixture
def ask(copy_sample):
    """Give a writer of a changed sample for parts of its paper: the rest of it is never asked for."""
    with ExitStack() as opened:

        def asked(*statements, judged=()):
            run = opened.enter_context(soaklib.open_run(copy_sample(*statements)))
            return Writer(AskedLedger(run, *judged))

        yield asked


@pytest.fixture(scope="session")
def sample_ledger(tmp_path_factory):
    """The claims of the sample, made once for all workers."""

    def make(folder):
        folder.mkdir()
        with soaklib.open_run(_SAMPLE) as run:
            (folder / "ledger").write_bytes(pickle.dumps(Ledger(run)))

    return pickle.loads((made_once(tmp_path_factory, "sample-ledger", make) / "ledger").read_bytes())  # noqa: S301 - ours


@pytest.fixture(scope="session")
def oks(sample_ledger):
    """How many calls of the sample were answered ok."""
    return sample_ledger.claims["totals.ok"].value


@pytest.fixture
def writer(sample_ledger):
    """A writer who knows the sample's claims."""
    return Writer(sample_ledger)


@pytest.fixture
def copy_sample(tmp_path):
    """Give a copy of the sample in which statements were carried out first."""

    def copied(*statements):
        return changed_copy(_SAMPLE, tmp_path / f"run{len(list(tmp_path.iterdir()))}", *statements)

    return copied
