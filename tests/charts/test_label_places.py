"""The places of labels above a time axis."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from soaklib.charts.label_places import Placed, place


def test_no_label_needs_no_place():
    """Nothing to say is no error."""
    assert place((), (), low=0.0, high=100.0, air=2.0) == ()


def test_one_label_stands_to_the_right_of_its_stem():
    """A label with room on its right is in the lowest row, beside its stem."""
    assert place((10.0,), (30.0,), low=0.0, high=100.0, air=2.0) == (Placed(10.0, 12.0, 42.0, 0),)


def test_a_label_at_the_right_edge_stands_to_the_left():
    """A label that would leave the axes goes to the left of its stem."""
    assert place((90.0,), (30.0,), low=0.0, high=100.0, air=2.0) == (Placed(90.0, 58.0, 88.0, 0),)


def test_a_label_wider_than_either_side_ends_at_the_edge_above_its_stem():
    """Where neither side has room, the text ends at the edge and the stem ends below it."""
    assert place((60.0,), (70.0,), low=0.0, high=100.0, air=2.0) == (Placed(60.0, 30.0, 100.0, 0),)


def test_labels_that_would_meet_take_two_rows():
    """Of two labels that cannot stand in one row, the left one goes up, since its stem meets nothing there."""
    left, right = place((10.0, 30.0), (40.0, 40.0), low=8.0, high=100.0, air=2.0)
    assert (left, right) == (Placed(10.0, 12.0, 52.0, 1), Placed(30.0, 32.0, 72.0, 0))


@given(
    labels=st.lists(st.tuples(st.floats(0, 500), st.floats(5, 120)), min_size=1, max_size=9),
)
def test_labels_never_meet(labels):
    """Whatever the moments, no text meets another text, and no stem goes through a text below its own."""
    stems, widths = zip(*labels, strict=True)
    spots = [spot for spot in place(stems, widths, low=0.0, high=500.0, air=2.0) if spot is not None]
    assert spots, "at least one label always has room"
    for a, b in combinations(spots, 2):
        if a.row == b.row:
            assert a.right < b.left or b.right < a.left
        else:
            lower, higher = sorted((a, b), key=lambda spot: spot.row)
            assert not lower.left < higher.x < lower.right


def test_more_labels_than_room_are_left_out():
    """With more labels at one moment than rows, those that fit are told and none is drawn over another."""
    placed = place((50.0,) * 30, (60.0,) * 30, low=0.0, high=100.0, air=2.0)
    assert 1 <= sum(spot is not None for spot in placed) <= 8
