import pytest

from soaklib.plan.cadence import sampling_s, snapshot_at_s


@pytest.mark.parametrize(
    ("every_s", "duration_s", "speed", "expected"),
    [
        (60.0, 86_400.0, 1.0, 60.0),  # a day: as the plan says
        (60.0, 2_520.0, 1.0, 8.4),  # 42 minutes: 300 samples
        (60.0, 120.0, 1.0, 1.0),  # two minutes: every wall second
        (60.0, 86_400.0, 720.0, 720.0),  # a rehearsal: every wall second
        (1.0, 86_400.0, 1.0, 1.0),  # a plan that asks for more gets it
    ],
)
def test_a_short_run_is_sampled_densely_enough_to_tell(every_s, duration_s, speed, expected):
    """As often as the plan says, or some 300 times in the run, but at most once a wall second."""
    assert sampling_s(every_s, duration_s, speed) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("number", "duration_s", "expected"),
    [(0, 86_400.0, 0.0), (1, 86_400.0, 4050.0), (23, 86_400.0, 83_250.0), (2, 7_400.0, 7_300.0)],
)
def test_a_snapshot_lies_between_two_rotations_and_within_the_run(number, duration_s, expected):
    """Half the time between two rotations after its hour, or half of what is left of the run."""
    assert snapshot_at_s(number, 3600.0, 900.0, duration_s) == expected
