"""The text of what a gateway's own metrics counted, on a run of two scrapes."""

from bookkeeping_runs import write_run

from soaklib.reports.metrics_analysis import metrics_analysis

TYPES = "# TYPE calls counter\n# TYPE seats_total gauge\n# TYPE other_total counter\n"


def test_what_counts_is_told_by_type(tmp_path):
    """A counter without ``_total`` is counted and a gauge with it is a level; without a snapshot the name tells."""
    samples = [
        (minute * 60_000_000, name, (), float(value))
        for minute, values in ((0, (5, 9, 1)), (1, (7, 4, 3)))
        for name, value in zip(("calls", "seats_total", "other_total"), values, strict=True)
    ]
    with write_run(tmp_path, [], samples, []) as run:
        by_name = sections(metrics_analysis(run))
        (tmp_path / "soak-h0.prom").write_text(f"{TYPES}calls 5\n")
        by_type = sections(metrics_analysis(run))
    assert by_type["Counters"] == [["calls", "2"], ["other_total", "2"]]
    assert by_type["Levels"] == [["seats_total", "9", "4", "4", "9"]]
    assert by_name["Counters"] == [["other_total", "2"], ["seats_total", "4"]]
    assert by_name["Levels"] == [["calls", "5", "7", "5", "7"]]


def test_a_fall_in_the_middle_of_a_text_is_a_reset(tmp_path):
    """Only the last number of a text can be cut short, be it a counter's or not."""
    values = (20, 100, 10, 110)
    samples = [
        (minute * 60_000_000, name, (), float(value))
        for minute, value in enumerate(values)
        for name, value in (("calls_total", value), ("heat", 5), ("last", 1))
    ]
    with write_run(tmp_path / "middle", [], samples, []) as run:
        assert sections(metrics_analysis(run))["Counters"] == [["calls_total", "190"]]
    with write_run(tmp_path / "end", [], [sample for sample in samples if sample[1] != "last"][::-1], []) as run:
        assert sections(metrics_analysis(run))["Counters"] == [["calls_total", "90"]]


def test_a_level_is_told_of_the_same_series_at_both_ends(tmp_path):
    """Two pools that keep their size do not grow: what is not told apart is added up, and a quantile has no sum."""
    sizes = [("connections", "pool", "a", 10.0), ("connections", "pool", "b", 1000.0)]
    waits = [("wait_seconds", "quantile", "0.5", 0.2), ("wait_seconds", "quantile", "0.9", 3.0)]
    samples = [
        (minute * 60_000_000, metric, ((label, value),), level)
        for minute in range(3)
        for metric, label, value, level in sizes + waits
    ]
    with write_run(tmp_path, [], samples, []) as run:
        [table] = [part for part in metrics_analysis(run).split("\n\n") if part.startswith("Levels")]
    assert [line.split() for line in table.splitlines()[2:]] == [
        ["metric", "quantile", "first", "last", "least", "most"],
        ["connections", "-", "1,010", "1,010", "1,010", "1,010"],
        ["wait_seconds", "0.5", "0.2", "0.2", "0.2", "0.2"],
        ["wait_seconds", "0.9", "3", "3", "3", "3"],
    ]


def test_counters_of_processes_in_turn_are_said_to_be(tmp_path):
    """Start times tell them apart; without, it is not known what those that fall have counted."""
    values = (1000, 400, 1010, 410, 1020, 420)
    samples = [
        (minute * 60_000_000, name, (), float(value))
        for minute, value in enumerate(values)
        for name, value in (("calls_total", value), ("steady_total", 7), ("last", 1))
    ]
    starts = [(minute * 60_000_000, "process_start_time_seconds", (), 1.0 + minute % 2) for minute in range(6)]
    with write_run(tmp_path / "untold", [], samples, []) as run:
        untold = metrics_analysis(run)
    with write_run(tmp_path / "told", [], [*starts, *samples], []) as run:
        told = metrics_analysis(run)
    for text in (untold, told):
        assert "\nSeveral processes answer /metrics in turn, each with counters of its own.\n" in text
    unknown = "Counters of which it is not known what they counted"
    assert (sections(untold)[unknown], sections(untold)["Counters"]) == ([["calls_total"]], [])
    assert (unknown in told, sections(told)["Counters"]) == (False, [["calls_total", "40"]])


def test_series_of_a_histogram_that_are_not_told_apart_are_added_up(tmp_path):
    """One row for each metric, tool and action, whatever keys or models there are: 9 of 10 took at most 1, one 5."""
    keys = [("a", (4, 4, 4)), ("b", (5, 6, 6))]  # of each, how many took at most 1, at most 5, and all
    samples = [
        (at_us, "took_bucket", (("key", key), ("le", le), ("tool", "x")), float(at_us and value))
        for at_us in (0, 60_000_000)
        for key, values in keys
        for le, value in zip(("1.0", "5.0", "+Inf"), values, strict=True)
    ] + [
        (at_us, f"took_{part}", (("key", key), ("tool", "x")), at_us and value)
        for at_us in (0, 60_000_000)
        for key, count, total in (("a", 4.0, 2.0), ("b", 6.0, 8.0))
        for part, value in (("count", count), ("sum", total))
    ]
    with write_run(tmp_path, [], samples, []) as run:
        text = metrics_analysis(run)
    [table] = [part for part in text.split("\n\n") if part.startswith("Histograms")]
    assert table.splitlines()[2].split() == ["metric", "tool", "n", "mean", "p50", "p95", "p99"]
    assert [line.split() for line in table.splitlines()[3:] if "took" in line] == [
        ["took", "x", "10", "1", "0", "to", "1", "1", "to", "5", "1", "to", "5"]
    ]


def sections(text):
    """Give the rows of each table by its title."""
    found = {}
    for part in text.split("\n\n"):
        title, _, *lines = part.split("\n") if part.count("\n") > 1 else (part, "")
        found[title] = [words for line in lines if (words := line.split()) and words[0].endswith(("_total", "calls"))]
    return found
