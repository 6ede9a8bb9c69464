"""In which order the rows of a fleet's files stand in its one run."""

import json

from lane_files import clock_offset, read, read_all, write_conductor, write_lane
from stored_rows import outcome

import soaklib.fleet.merge
from soaklib.fleet.merge import merge
from soaklib.records import Event, EventName


def test_rows_of_all_lanes_stand_in_the_order_of_their_planned_times(tmp_path):
    """The merged run has every row of conductor and lanes, in order, whatever their slots, and says whose it is."""
    write_conductor(tmp_path)
    planned = {6: 100, 5: 101, 4: 102, 2: 103, 3: 103, 1: 104, 0: 105}
    keys = ((4, 0), (3, 1), (0, 0), (6, 1), (6, 0), (3, 0), (2, 0), (5, 0), (1, 0))
    calls = [outcome(n, step=step, planned_at_us=1_000_000 + planned[n], lane=n % 2) for n, step in keys]
    lanes = [write_lane(tmp_path, lane, [call for call in calls if call.lane == lane]) for lane in (0, 1)]
    merge(tmp_path, lanes)
    rows, segments, [(environment,)] = read_all(
        tmp_path,
        "select purpose, slot, step, lane from outcomes",
        "select count(*), count(distinct lane) from segments",
        "select environment from run",
    )
    in_order = ((6, 0), (6, 1), (5, 0), (4, 0), (2, 0), (3, 0), (3, 1), (1, 0), (0, 0))
    assert rows == [("probe", 0, 0, None), *(("load", slot, step, slot % 2) for slot, step in in_order)]
    assert segments == [(3, 2)]
    assert [json.loads(environment)["lanes"][n]["status"] for n in "01"] == ["completed", "completed"]


def test_rows_are_in_order_across_stretches(tmp_path, monkeypatch):
    """However few rows are sorted at once, the merged run has each row once, in order, by the corrected times."""
    monkeypatch.setattr(soaklib.fleet.merge, "_ROWS_AT_ONCE", 3)
    write_conductor(tmp_path)
    ahead = [clock_offset(1_000_000, 200_000), clock_offset(1_400_000, 201_000)]
    lanes = [
        write_lane(tmp_path, 0, [outcome(n, planned_at_us=1_000_100 + 7 * n, lane=0) for n in range(38, -2, -2)]),
        write_lane(tmp_path, 1, [outcome(n, planned_at_us=1_200_100 + 7 * n, lane=1) for n in range(1, 41, 2)],
                   events=ahead),
    ]  # fmt: skip
    merge(tmp_path, lanes)
    rows = read(tmp_path, "select planned_at_us, slot from outcomes where purpose = 'load'")
    assert rows == sorted(rows)
    assert sorted(slot for _, slot in rows) == list(range(40))


def test_what_is_of_one_instant_stands_by_file_and_as_it_was_written(tmp_path):
    """A merge made again has every row in the same place, so that what is worked out from their order is the same."""
    at_once = [Event(1_000_000, EventName.TOKENS_ROTATED, str(n), None) for n in range(400)]
    write_conductor(tmp_path, events=at_once)
    calls = [outcome(0, planned_at_us=1_000_000) for _ in range(400)]
    merge(tmp_path, [write_lane(tmp_path, lane, calls, events=at_once) for lane in (0, 1)])
    events, rows = read_all(tmp_path, "select detail from events", "select purpose, lane from outcomes")
    assert events == [(f"{whose}{n}",) for whose in ("", "lane=0 ", "lane=1 ") for n in range(400)]
    assert rows == [("probe", None), *(("load", lane) for lane in (0, 1) for _ in range(400))]
