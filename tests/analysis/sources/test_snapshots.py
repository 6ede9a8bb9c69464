"""Snapshots of a folder: their order, their times, and failed ones."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from soaklib.analysis.sources.samples import SAMPLES_SCHEMA, read_exposition
from soaklib.analysis.sources.snapshots import read_snapshots, snapshot_files
from soaklib.errors import RunError

CAPTURES = Path(__file__).parents[2] / "data" / "captures"
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
START = dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)


def hours(*numbers, since=EPOCH):
    return [since + dt.timedelta(hours=number) for number in numbers]


@pytest.fixture
def folder(tmp_path):
    """Snapshots 0, 2 and 10 and the final one, whose values are their order; file times say the contrary."""
    for order, name in enumerate(["soak-h0", "soak-h2", "soak-h10", "soak-final"]):
        path = tmp_path / f"{name}.prom"
        path.write_text(f"calls_total {order}\n")
        os.utime(path, (1_000_000 - order, 1_000_000 - order))
    return tmp_path


def log(folder, *names):
    lines = [
        f"[{(START + dt.timedelta(hours=hour)).isoformat()}] METRICS_SNAPSHOT {name} 200 bytes\n"
        for hour, name in enumerate(names)
    ]
    (folder / "soak-events.log").write_text("[2026-11-24T07:00:00Z] SOAK_TEST_STARTED x\n" + "".join(lines))


def test_order_and_ordinal_time(folder):
    """Without a log, order and time are the number in the name, and the final snapshot comes last."""
    read = read_snapshots(folder)
    assert read["value"].to_list() == [0.0, 1.0, 2.0, 3.0]
    assert read["at"].to_list() == hours(0, 2, 10, 11)
    assert_frame_equal(read_snapshots(str(folder)), read)


def test_recorded_time(folder):
    """With a log, the time of a snapshot is the last one that names it."""
    log(folder, "soak-h0.prom", "soak-h2.prom", "soak-h2.prom", "soak-h10.prom", "soak-final.prom")
    assert read_snapshots(folder)["at"].to_list() == hours(0, 2, 3, 4, since=START)


@pytest.mark.parametrize("text", ["2026-11-24 20:41 started\n", "\x00\n"])
def test_a_log_of_another_form(folder, text):
    """A log that is not soaklib's tells no times: order and time are the number in the name, and a warning says so."""
    (folder / "soak-events.log").write_text(text)
    with pytest.warns(UserWarning, match="is no event log: .*; the snapshots go by the numbers in their names"):
        assert read_snapshots(folder)["at"].to_list() == hours(0, 2, 10, 11)
    with pytest.warns(UserWarning, match="is no event log"):
        assert snapshot_files(folder)["ok"].all()


def test_missing_record(folder):
    """If the log lacks one of the snapshots, all get ordinal times: two clocks in one frame would sort wrongly."""
    log(folder, "soak-h0.prom", "soak-h2.prom", "soak-final.prom")
    assert read_snapshots(folder)["at"].to_list() == hours(0, 2, 10, 11)


def test_failed_scrapes(folder):
    """An empty file and an error page are failed scrapes: no samples and no zeros, but a row in the table of files."""
    (folder / "soak-h2.prom").write_text("")
    (folder / "soak-h10.prom").write_text("<html>502</html>")
    log(folder, "soak-h0.prom", "soak-final.prom")
    assert read_snapshots(folder).select("at", "value").rows() == [
        (START, 0.0),
        (START + dt.timedelta(hours=1), 3.0),
    ]
    files = snapshot_files(folder)
    assert files.select("file", "ok", "samples", "repairs").rows() == [
        ("soak-h0.prom", True, 1, 0),
        ("soak-h2.prom", False, None, None),
        ("soak-h10.prom", False, None, None),
        ("soak-final.prom", True, 1, 0),
    ]
    assert [detail and ("empty" in detail, "markup" in detail) for detail in files["detail"]] == [
        None,
        (True, False),
        (False, True),
        None,
    ]


def test_all_failed(tmp_path):
    """If every scrape failed there are no samples, and the frame has its types."""
    (tmp_path / "soak-h0.prom").write_text("")
    assert_frame_equal(read_snapshots(tmp_path), pl.DataFrame(schema=SAMPLES_SCHEMA))


def test_own_timestamps(tmp_path):
    """A sample that has a timestamp keeps it."""
    (tmp_path / "soak-h1.prom").write_text("a 1 1700000000000\nb 1\n")
    assert read_snapshots(tmp_path)["at"].to_list() == [dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC), *hours(1)]


def test_captures():
    """A capture's names are read like a run's, in the order of their numbers."""
    read = read_snapshots(CAPTURES, canonical=True)
    single = read_exposition(CAPTURES / "h19.prom", at=EPOCH + dt.timedelta(hours=19), canonical=True)
    assert read["at"].unique(maintain_order=True).to_list() == hours(0, 1, 19)
    assert_frame_equal(read.filter(pl.col("at") == hours(19)[0]), single)


def test_run_names_win(folder):
    """In a folder with a run's names, a capture's names are something else."""
    (folder / "h1.prom").write_text("calls_total 99\n")
    assert 99.0 not in read_snapshots(folder)["value"].to_list()


@pytest.mark.parametrize(
    ("names", "sentence"),
    [([], "no snapshots"), (["other.prom"], "no snapshots"), (["h1.prom", "h01.prom"], "two snapshots of one number")],
)
def test_bad_folder(tmp_path, names, sentence):
    """A folder without snapshots, or with two of one number, is refused."""
    for name in names:
        (tmp_path / name).write_text("up 1\n")
    with pytest.raises(RunError, match=sentence):
        read_snapshots(tmp_path)
    with pytest.raises(RunError, match="is no folder"):
        read_snapshots(tmp_path / "absent")


def test_snapshots_cut_short(tmp_path):
    """A file without the end that the others have is a failed scrape, wherever it is cut."""
    texts = {"h0": "a 1\n# EOF\n", "h1": "a 2\n", "h2": "a 3\n# EOF\n"}
    for name, text in texts.items():
        (tmp_path / f"{name}.prom").write_text(text)
    assert read_snapshots(tmp_path)["value"].to_list() == [1.0, 3.0]
    files = snapshot_files(tmp_path)
    assert files["ok"].to_list() == [True, False, True]
    assert files["detail"][1] == f"{tmp_path / 'h1.prom'}: cut short: OpenMetrics without # EOF"
    (tmp_path / "h0.prom").write_text("s_total 500\n")
    (tmp_path / "h1.prom").write_text("s_total 51")
    (tmp_path / "h2.prom").write_text("s_total 520\n")
    assert read_snapshots(tmp_path)["value"].to_list() == [500.0, 520.0]
