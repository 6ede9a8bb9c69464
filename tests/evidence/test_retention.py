import os
import subprocess
import sys

import pytest

from soaklib.errors import RunError
from soaklib.evidence.comparison import COMPARISON_NAME
from soaklib.evidence.retention import fates, remove_run, run_folders
from soaklib.store.lock import RunLock

IDS = [f"2026010{day}T060000Z-000{day}" for day in range(1, 8)]


@pytest.fixture
def out(tmp_path):
    """Seven weeks of runs, the last one newest, as far as retention looks at them."""
    for run_id in IDS:
        folder = tmp_path / run_id
        folder.mkdir()
        (folder / "run.duckdb").write_bytes(b"a database")
        (folder / COMPARISON_NAME).write_text("{}")
    (tmp_path / "latest").symlink_to(IDS[-1])
    return tmp_path


def going(out, **changes):
    """Give the names of the runs that may go, newest first."""
    options = {"keep": 4, "held": (), "why_unverified": lambda _: None} | changes
    return [fate.folder.name for fate in fates(out, **options) if fate.goes]


def why_kept(out, run_id, **changes):
    options = {"keep": 4, "held": (), "why_unverified": lambda _: None} | changes
    [fate] = [fate for fate in fates(out, **options) if fate.folder.name == run_id]
    assert not fate.goes
    assert fate.is_old
    return fate.why


def test_the_newest_stay_and_older_ones_may_go(out):
    """Of seven, four stay: by the time in their names, whatever their times on the disk are."""
    os.utime(out / IDS[0], (2e9, 2e9))
    assert going(out) == [IDS[2], IDS[1], IDS[0]]
    assert going(out, keep=7) == []


def test_nothing_is_touched_by_asking(out):
    """Saying what may go removes nothing."""
    fates(out, keep=1, held=(), why_unverified=lambda _: None)
    assert [folder.name for folder in run_folders(out)] == IDS[::-1]


def test_the_last_good_run_stays(out):
    """However old it is."""
    assert why_kept(out, IDS[0], held=[out / IDS[0]]) == "it is a good run that others are compared with"
    assert going(out, held=[out / IDS[0]]) == [IDS[2], IDS[1]]


def test_runs_of_another_series_are_left_alone(out):
    """Two jobs share a folder: neither counts, keeps or removes the other's."""
    ours = [out / run_id for run_id in IDS[::2]]
    found = fates(out, keep=2, held=(), why_unverified=lambda _: None, is_of_series=ours.__contains__)
    assert [fate.folder for fate in found] == ours[::-1]
    assert [fate.folder for fate in found if fate.goes] == [ours[1], ours[0]]


def test_the_run_that_latest_names_stays(out):
    """However old it is."""
    (out / "latest").unlink()
    (out / "latest").symlink_to(out / IDS[1])
    assert why_kept(out, IDS[1]) == "'latest' names it"


def test_a_run_that_a_live_process_owns_stays(out):
    """Its lock says so."""
    with RunLock(out / IDS[0]):
        assert why_kept(out, IDS[0]) == "it is going on"
    assert IDS[0] in going(out)


def test_a_run_whose_bundle_does_not_verify_stays_and_is_named(out):
    """Its folder is the only evidence that is left; only runs that would go are asked."""
    asked = []

    def why_unverified(folder):
        asked.append(folder.name)
        return "run.duckdb was changed" if folder.name == IDS[1] else None

    assert going(out, why_unverified=why_unverified) == [IDS[2], IDS[0]]
    assert asked == [IDS[2], IDS[1], IDS[0]]
    assert why_kept(out, IDS[1], why_unverified=why_unverified) == (
        "its evidence does not verify: run.duckdb was changed"
    )


def test_what_the_weekly_soak_did_not_make_neither_goes_nor_counts(out):
    """A run made by hand has no comparison: the newest four are those of the weekly soak."""
    (out / IDS[6] / COMPARISON_NAME).unlink()
    (out / IDS[0] / COMPARISON_NAME).unlink()
    assert going(out) == [IDS[1]]


def test_only_folders_of_runs_are_looked_at(out, tmp_path_factory):
    """No file, no folder of another name, no folder without a database, and no link to a run elsewhere."""
    elsewhere = tmp_path_factory.mktemp("elsewhere") / IDS[0]
    elsewhere.mkdir()
    (elsewhere / "run.duckdb").touch()
    (out / "20250101T060000Z-0001").symlink_to(elsewhere)
    (out / "20250102T060000Z-0002").mkdir()
    (out / "20250103T060000Z-0003").write_text("a file")
    for name in ("notes", "20250104T060000Z-0004-copy", ".removing-20250105T060000Z-0005"):
        (out / name).mkdir()
        (out / name / "run.duckdb").touch()
    (out / "20250106T060000Z-0006").mkdir()
    (out / "20250106T060000Z-0006" / "run.duckdb").symlink_to(elsewhere / "run.duckdb")
    assert [folder.name for folder in run_folders(out)] == IDS[::-1]
    assert run_folders(out / "nowhere") == []


def test_removing_a_run_follows_no_link_in_it(out, tmp_path_factory):
    """The run and its links are gone; what they point to is not. What an earlier removal left goes too."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "kept").touch()
    (out / IDS[0] / "link").symlink_to(elsewhere)
    (out / f".removing-{IDS[2]}").mkdir()
    remove_run(out / IDS[0])
    assert (elsewhere / "kept").exists()
    assert sorted(path.name for path in out.iterdir()) == [*IDS[1:], "latest"]


@pytest.mark.slow
def test_a_run_that_another_process_holds_is_not_removed(out):
    """Not even when it took hold only after it was said that the run may go."""
    code = "import sys, pathlib\nfrom soaklib.store.lock import RunLock\n"
    code += "with RunLock(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(out / IDS[0])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunError, match="is owned by a live process"):
            remove_run(out / IDS[0])
        holder.stdin.close()
    assert (out / IDS[0] / "run.duckdb").exists()


def test_ten_weeks_leave_four_and_what_they_are_measured_by(tmp_path):
    """Removed as each week ends: never fewer than the newest four, and the last good run however long weeks are bad."""
    made, good = [], None
    for week in range(1, 11):
        folder = tmp_path / f"202601{week:02}T060000Z-{week:04}"
        folder.mkdir()
        (folder / "run.duckdb").write_bytes(b"a database")
        (folder / COMPARISON_NAME).write_text("{}")
        made.append(folder.name)
        good = folder if week <= 2 or week == 9 else good
        for fate in fates(tmp_path, keep=4, held={good}, why_unverified=lambda _: None):
            if fate.goes:
                remove_run(fate.folder)
        assert {path.name for path in tmp_path.iterdir()} == {*made[-4:], good.name}
        assert len(made[-4:]) + (good.name not in made[-4:]) == {1: 1, 2: 2, 3: 3}.get(week, 4 + (week in {6, 7, 8}))
