"""Values and tables as text."""

import pytest

from soaklib.reports.text_table import Strong, cell, markdown_table


@pytest.mark.parametrize(
    ("value", "said"), [(999_999.7, "1,000,000"), (999_999.4, "999,999"), (123_456.789, "123,457"), (0.25, "0.25")]
)
def test_a_large_number_has_no_exponent(value, said):
    """Six digits, and separators instead of a power of ten."""
    assert cell(value) == said


def test_nothing_in_a_cell_ends_it_or_is_taken_for_markup():
    """A backslash of a stranger's does not take away that of a pipe behind it, and an element stays a text."""
    table = markdown_table(["a|b"], [["x\\|y"], ["<img src=x> [to](there) `*z*`"], ["snake_case #1"]])
    assert table.splitlines() == [
        "| a\\|b |",
        "| --- |",
        "| x\\\\\\|y |",
        "| \\<img src=x> \\[to](there) \\`\\*z\\*\\` |",
        "| snake_case #1 |",
    ]


def test_words_of_ours_stand_out():
    """What is in them is no markup all the same."""
    assert markdown_table(["a"], [[Strong("worse: a*b")]]).splitlines()[-1] == "| **worse: a\\*b** |"
