"""What a soak will do and need, told before it starts."""

from collections import namedtuple

import pytest

import soaklib
from soaklib.errors import SettingsError
from soaklib.plan import forecast as module
from soaklib.plan.forecast import bytes_text, forecast, refuse_small_disk
from soaklib.plan.loading import load_settings
from soaklib.plan.model import load_plan

Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 - as shutil has it


def _outlook(*arguments):
    return forecast(load_settings(list(arguments)), load_plan())


def test_the_calls_foretold_are_the_rows_that_a_rehearsal_recorded(rehearsal):
    """By purpose, role, tool and action, to the last one; rotations, snapshots and slots too."""
    outlook = _outlook("--hours", "2", "--speed", "360", "--seed", "1")
    with soaklib.open_run(rehearsal.folder) as run:
        rows = run.sql("select purpose, role, tool, action, count(*) from calls group by all").rows()
        slots = run.sql("select count(distinct slot) from outcomes where purpose = 'load'").item()
        events = dict(run.sql("select name, count(*) from events where event_key is not null group by all").rows())
    assert sorted(map(tuple, outlook.calls)) == sorted(rows)
    assert outlook.is_exact
    assert outlook.slots == slots
    assert outlook.rows == sum(row[-1] for row in rows)
    assert outlook.rotations == events["TOKENS_ROTATED"]
    assert outlook.snapshots + 1 == events["METRICS_SNAPSHOT"]  # and the final one


def test_calls_of_one_sort_are_added_up_over_operations_and_steps():
    """A chain that makes the same call twice plans it twice."""
    plan = load_plan()
    first, *others = plan.operations
    doubled = plan.model_copy(update={"operations": (first.model_copy(update={"steps": first.steps * 2}), *others)})
    settings = load_settings([])
    once, twice = forecast(settings, plan).calls[0], forecast(settings, doubled).calls[0]
    assert twice == once._replace(calls=2 * once.calls)


def test_the_disk_foretold_holds_what_a_rehearsal_left(rehearsal):
    """No less than the folder takes, and no more than a few times that."""
    outlook = _outlook("--hours", "2", "--speed", "360", "--no-report")
    left_bytes = sum(path.stat().st_size for path in rehearsal.folder.rglob("*"))
    assert left_bytes < outlook.disk_bytes < 5 * left_bytes


def test_a_soak_with_too_many_slots_to_ask_each_is_told_by_its_shares():
    """864,000 slots of a day are asked one by one; of 8,640,000 the shares are told."""
    exact, about = _outlook("--rps", "10"), _outlook("--rps", "100")
    assert (exact.is_exact, about.is_exact) == (True, False)
    assert [entry.calls for entry in about.calls] == [5_184_000, 2_592_000, 2_592_000, 864_000, 1440]
    for counted, shared in zip(exact.calls, about.calls, strict=True):
        assert counted.calls == pytest.approx(shared.calls / (10 if shared.purpose == "load" else 1), rel=0.01)


def test_more_of_everything_takes_more_disk_and_memory():
    """Slots, hours, agents and the report take disk; the in-flight cap takes memory."""
    least = _outlook("--rps", "1", "--no-report", "--max-in-flight", "10")
    for more in (
        ["--rps", "2", "--no-report"], ["--hours", "48", "--no-report"], ["--agents-per-role", "9", "--no-report"], [],
    ):  # fmt: skip
        assert _outlook(*more).disk_bytes > least.disk_bytes
    assert _outlook("--max-in-flight", "1010").memory_bytes - least.memory_bytes == 1000 * (16 << 10)


def test_a_place_that_takes_no_folder_refuses_the_soak(tmp_path, monkeypatch):
    """A file that is in the way, or a folder that the user may not write to; one that is yet to be made does not."""
    (tmp_path / "file").touch()
    outlook = _outlook()
    for place in (tmp_path / "file", tmp_path / "file" / "runs"):
        with pytest.raises(SettingsError, match=r"^--out .*: no folder can be made there; pass another one$"):
            refuse_small_disk(outlook, place)
    refuse_small_disk(outlook, tmp_path / "yet" / "to be")
    monkeypatch.setattr(module.os, "access", lambda path, _: path != tmp_path)
    with pytest.raises(SettingsError, match="no folder can be made there"):
        refuse_small_disk(outlook, tmp_path / "yet" / "to be")


def test_a_disk_that_is_too_small_refuses_the_soak(monkeypatch):
    """The sentence says how much is needed, how much is free, and what to do; a byte more and it may start."""
    needed_bytes = _outlook().disk_bytes

    def with_free(free_bytes):
        monkeypatch.setattr(module.shutil, "disk_usage", lambda _: Usage(0, 0, free_bytes))
        settings = load_settings([])
        refuse_small_disk(forecast(settings, load_plan()), settings.out)

    with pytest.raises(SettingsError, match=r"needs about 30.* MiB of disk and 30.* MiB are free; free some, pass"):
        with_free(needed_bytes - 1)
    with_free(needed_bytes)


@pytest.mark.parametrize(("free_share", "is_tight"), [(2.1, False), (1.9, True)])
def test_a_disk_that_will_be_more_than_half_used_is_warned_of(monkeypatch, free_share, is_tight):
    """The soak may start."""
    needed_bytes = _outlook().disk_bytes
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: Usage(0, 0, round(free_share * needed_bytes)))
    assert any("the disk is tight" in sentence for sentence in _outlook().warnings()) is is_tight


def test_memory_that_may_not_do_is_warned_of(monkeypatch):
    """The sentence says which setting helps."""
    monkeypatch.setattr(module.psutil, "virtual_memory", lambda: namedtuple("M", "available")(100 << 20))  # noqa: PYI024
    [sentence] = [sentence for sentence in _outlook().warnings() if "memory" in sentence]
    assert sentence.endswith("of 100 MiB available may be needed; lower --max-in-flight")


def test_a_container_has_no_more_memory_than_its_limit(monkeypatch):
    """Whatever the machine around it has free."""
    monkeypatch.setattr(module, "usable_memory_bytes", lambda: 50 << 20)
    [sentence] = [sentence for sentence in _outlook().warnings() if "memory" in sentence]
    assert "of 50 MiB available" in sentence


def test_the_disk_asked_about_is_the_one_that_the_run_goes_to(tmp_path):
    """The folder need not be there yet."""
    outlook = _outlook("--out", str(tmp_path / "not" / "yet"))
    assert outlook.free_bytes > 0
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (1000, "0.977 KiB"), (31_500_000, "30 MiB"), (5 << 40, "5 TiB"), (2 << 50, "2,048 TiB")],
)  # fmt: skip
def test_sizes_have_three_digits_and_a_unit(size_bytes, text):
    """Binary units."""
    assert bytes_text(size_bytes) == text
