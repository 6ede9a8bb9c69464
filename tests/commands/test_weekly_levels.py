"""A level that creeps from week to week within the margin, with soaks that are written by hand."""

import pytest
from soak_hour import write_soak_hour
from weekly_soaks import Weeks

from soaklib.evidence.comparison import read_comparison

pytestmark = pytest.mark.slow  # each week is judged and compared


@pytest.fixture
def weeks(tmp_path_factory, tmp_path, monkeypatch, capsys):
    folder = tmp_path_factory.mktemp("template")
    write_soak_hour(folder)
    return Weeks(folder, tmp_path / "runs", monkeypatch, capsys)


def _slower(by_us):
    return [f"update outcomes set done_at_us = done_at_us + {by_us} where done_at_us is not null"]


def test_a_level_that_creeps_is_found_and_the_run_that_shows_it_is_kept(weeks):
    """Each week .7 ms slower than the one before, where 1 ms never matters: the third is told, and is not good.

    The oldest good run stays however few runs are kept, until another level is accepted; then it may go.
    """
    keep = ("--keep", "1", "--remove")
    _, first, _ = weeks.week(*keep)
    code, second, said = weeks.week(*keep, statements=_slower(700))
    assert (code, read_comparison(second).anchor) == (0, None), said

    code, third, said = weeks.week(*keep, statements=_slower(1400))
    comparison = read_comparison(third)
    assert (code, comparison.against, comparison.anchor) == (1, second.name, first.name)
    assert comparison.regressions == ()
    assert {(change.endpoint, change.state) for change in comparison.crept} == {("latency (median)", "different")}
    assert f"weekly: WORSE than {first.name}, the oldest good run: latency (median): " in said
    assert f"worse than {first.name}, the oldest good run: latency (median): " in comparison.over_weeks[0]
    assert f"kept {first.name}: it is a good run that others are compared with" in said

    code, _, said = weeks.week(*keep, "--against", str(third), statements=_slower(1400))
    assert code == 0, said
    assert not first.exists()
    code, fifth, said = weeks.week(*keep, statements=_slower(2100))
    assert (code, read_comparison(fifth).anchor) == (0, None), said
