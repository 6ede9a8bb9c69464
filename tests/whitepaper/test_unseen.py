"""A figure that would show nothing is a sentence, and what nobody knows is not nothing."""

from pathlib import Path

from paper_texts import figures_of, plain_text

from soaklib.whitepaper.document import plain
from soaklib.whitepaper.sections.figures import drawn


def test_a_figure_that_would_show_nothing_is_a_sentence(ask):
    """Where no breaker acted and no token was rotated, that is said, and no empty picture is shown."""
    writer = ask(
        "update outcomes set kind = 'ok', reason = null where kind in ('fast_fail', 'upstream_error')",
        "update samples set value = 0 where metric in ('gateway_breaker_state', 'gateway_retries_total', "
        "'gateway_cache_hits_total')",
        "delete from events where name = 'TOKENS_ROTATED'",
    )
    names = ("breaker-activity", "retries-and-cache", "rotation-impact")
    blocks = [block for name in names for block in drawn(writer, Path("nowhere"), name)]
    text = plain_text(blocks)
    assert "No breaker opened, and no call met a fast-fail or an upstream error." in text
    assert "The gateway counted neither retries nor cache hits." in text
    assert "No token was rotated." in text
    assert list(figures_of(blocks)) == []


def test_what_nobody_knows_of_a_counter_is_not_called_nothing(ask):
    """Where several processes answer the scrapes in turn, and tell no start."""
    writer = ask(
        "delete from samples where metric = 'process_start_time_seconds'",
        "update samples set value = value + 1e6 * (round(at_us / 5e6)::BIGINT % 2) where metric like '%_total'",
    )
    captions = [plain(figure.caption) for figure in figures_of(drawn(writer, Path("nowhere"), "retries-and-cache"))]
    assert [caption.partition(": ")[2].partition(".")[0] for caption in captions] == [
        "n = \N{EN DASH} retries and \N{EN DASH} hits; a dash where nobody knows"
    ]
    [denials] = figures_of(drawn(writer, Path("nowhere"), "denial-spikes"))
    assert "as the gateway counted them between scrapes, n = \N{EN DASH}, a dash where nobody knows." in plain(
        denials.caption
    )
