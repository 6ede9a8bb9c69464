import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench" / "holdout.py"
TRIALS, RESAMPLES = 40, 99

pytestmark = pytest.mark.slow


def _load():
    spec = importlib.util.spec_from_file_location("holdout_study", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


HOLDOUT = _load()


@pytest.mark.parametrize("case", HOLDOUT.CASES, ids=[case.name for case in HOLDOUT.CASES])
def test_each_kind_of_series_keeps_its_limit(case):
    """False alarms and power on many kinds of series keep their limits as far as so few trials can tell."""
    from scipy.stats import binom  # noqa: PLC0415 - a second of each worker that collects it

    trials = max(TRIALS, case.least_trials)
    hits = round(case.kept(case.run(trials, RESAMPLES)) * trials)
    if case.judged == "quiet":
        assert hits <= binom.ppf(0.99, trials, case.share)
    else:
        assert hits >= binom.ppf(0.01, trials, case.share)
