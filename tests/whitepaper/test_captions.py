"""Captions: what is said under a figure, and what is not said where it cannot be known."""

import pytest

from soaklib.whitepaper.catalogue import CATALOGUE
from soaklib.whitepaper.claims import Claim
from soaklib.whitepaper.document import plain
from soaklib.whitepaper.ledger import Ledger
from soaklib.whitepaper.prose import Writer
from soaklib.whitepaper.sections.figures import caption


class _Claims(Ledger):
    """Claims by name, and no run."""

    def __init__(self, **claims):
        self.claims = {}
        units = {f"{family.name}.{name}": told.unit for family in CATALOGUE for name, told in family.columns.items()}
        for name, (value, low) in claims.items():
            self.claims[name] = Claim.made(
                name, "", "", {}, value=value, unit=units.get(name, ""), n=None, low=low, high=low
            )


def _said(name, **claims):
    return plain(caption(Writer(_Claims(**claims)), name))


def _memory(low):
    known = {"memory.n": (2, None), "memory.state": ("inconclusive", None), "levels.drift": (90.0, None)}
    return _said("drift-gateway-memory", **{"memory.slope_per_hour": (50.89, low)}, **known)


def test_a_slope_without_an_interval_is_not_told():
    """Two points have a slope, which says nothing; with its interval it is told."""
    assert "50.89" not in _memory(None)
    assert _memory(None).endswith("too few points to tell a slope or an interval (n = 2).")
    assert "50.89" in _memory(48.0)


@pytest.mark.parametrize(("figure", "family"), [("gateway", "memory"), ("generator", "own_memory")])
def test_a_slope_is_told_with_its_unit(figure, family):
    """How much memory grew in how long: a bare number would say neither, of the slope and of its interval."""
    known = {f"{family}.n": (40, None), "levels.drift": (90.0, None), f"{family}.slope_per_hour": (50.89, 48.0)}
    said = _said(f"drift-{figure}-memory", **known)
    assert "50.89\N{NARROW NO-BREAK SPACE}MiB a soak-hour (" in said
    assert "48\N{NARROW NO-BREAK SPACE}MiB a soak-hour)" in said


@pytest.mark.parametrize(("sufficient", "is_told"), [(True, True), (False, False)])
def test_a_percentile_that_too_few_calls_lie_beyond_is_not_told(sufficient, is_told):
    """The tail of a short run is neither drawn nor told."""
    tail = {
        "latency[response/0.99].latency_ms": (9.411, 9.0), "latency[response/0.99].quantile": (0.99, None),
        "latency[response/0.99].sufficient": (sufficient, None), "totals.load_served": (198, None),
        "levels.rate": (95.0, None),
    }  # fmt: skip
    assert ("interval 9 to 9" in _said("percentile-plot", **tail)) is is_told


def test_a_run_without_calls_has_a_caption_all_the_same():
    """Where there is not even a row of quantiles, the caption says how many calls there were."""
    assert "n = 0" in _said("percentile-plot", **{"totals.load_served": (0, None)})


def test_no_rotations_are_not_laid_over_one_another():
    """Of no rotation nothing is said but that."""
    assert _said("rotation-impact", **{"rotations.made": (0, None)}) == "No token was rotated."
