import numpy as np
import pytest

from soaklib.analysis.statistics.multiplicity import adjusted
from soaklib.errors import SettingsError


@pytest.mark.parametrize(
    ("correction", "expected"),
    [
        # the textbook family 0.01, 0.04, 0.03, 0.005, by hand
        ("holm", [0.03, 0.06, 0.06, 0.02]),
        ("bh", [0.02, 0.04, 0.04, 0.02]),
    ],
)
def test_a_family_is_corrected(correction, expected):
    """Each p-value is corrected for the family, in the order given."""
    np.testing.assert_allclose(adjusted([0.01, 0.04, 0.03, 0.005], correction), expected)


def test_a_test_that_was_not_made_does_not_count():
    """NaN stays NaN and does not make the family larger."""
    np.testing.assert_allclose(adjusted([0.02, np.nan, 0.5]), [0.04, np.nan, 0.5])


def test_corrected_values_stay_probabilities():
    """No corrected value exceeds one; no test at all is no value."""
    np.testing.assert_array_equal(adjusted([0.9, 0.8, 0.7]), [1, 1, 1])
    assert adjusted([]).shape == (0,)


@pytest.mark.parametrize(("p_values", "correction"), [([1.2], "holm"), ([-0.1], "bh"), ([0.5], "bonferroni")])
def test_what_is_no_family_is_refused(p_values, correction):
    """Numbers outside 0 to 1 and unknown corrections are refused."""
    with pytest.raises(SettingsError):
        adjusted(p_values, correction)
