"""Sentences are words and claims, and the words hold no number."""

import ast
import re
from pathlib import Path

import pytest

import soaklib.whitepaper.sections
from soaklib.whitepaper.document import Link, Stated, Words, plain
from soaklib.whitepaper.ledger import ClaimError
from soaklib.whitepaper.prose import refuse_numbers

_NO_PROSE = {"references", "questions"}  # works of others; names of criteria, which are claims in the paper
_SECTIONS = [
    path
    for path in sorted(Path(soaklib.whitepaper.sections.__file__).parent.glob("*.py"))
    if path.stem not in _NO_PROSE
]


@pytest.mark.parametrize(
    "words", ["99 % of calls", "the p99 of it", "three calls failed", "Half of them", "It happened twice.", "a MILLION"]
)
def test_a_typed_number_is_refused(words):
    """A digit or a number word outside of a place ends the build, and the sentence is named."""
    with pytest.raises(ClaimError, match="state a number") as told:
        refuse_numbers(words)
    assert words in str(told.value)


@pytest.mark.parametrize("words", ["laid over one another", "a tenthless soak-hour", "none, single, often", ""])
def test_words_that_state_no_number_pass(words):
    """Words that only look like numbers are let through, unchanged."""
    assert refuse_numbers(words) == words


def test_a_number_word_that_is_meant_is_marked(writer):
    """A word in brackets is said as it stands; a digit has no such mark, and a word without it is refused still."""
    assert writer.say("[two] ends") == (Words("two", is_marked=True), Words(" ends"))
    with pytest.raises(ClaimError, match="state a number"):
        writer.say("[two] of three")
    with pytest.raises(ClaimError, match="state a number"):
        writer.say("[2] ends")


def test_figures_and_works_are_pointed_at_by_name(writer):
    """A sign before a name makes it a way to a figure or a reference, whose number comes with the whole paper."""
    assert writer.say("{@success-rate} {#korn1998}") == (
        Link("Figure", "success-rate", "figure"),
        Words(" "),
        Link("", "korn1998", "reference"),
    )


def test_places_are_filled_by_claims(writer):
    """A place becomes what its claim says, and the claim's name goes with it."""
    text = writer.say("Of {totals.planned} calls {success.success_rate:n} count ({success.success_rate:interval}).")
    stated = r"Of 46,517 calls 43,\d{3} count \(9\d\.\d+ to 99\.\d+\N{NARROW NO-BREAK SPACE}%\)\."
    assert re.fullmatch(stated, plain(text))
    assert [part.claim for part in text if isinstance(part, Stated)] == [
        "totals.planned",
        "success.success_rate:n",
        "success.success_rate:interval",
    ]


def test_a_word_goes_with_its_number(writer):
    """Singular and plural are chosen by the claim's value."""
    text = writer.say("{segments.segments} {segments.segments?stretch:stretches}, {totals.ok?call:calls}")
    assert plain(text) == "1 stretch, calls"


def test_a_row_can_be_passed(writer):
    """A place may name a row that is passed, for sentences about each of several rows."""
    said = [plain(writer.say("{row.tool}: {row.calls}", row=row)) for row in writer.ledger.rows("tools")]
    assert said[0] == "gmail_send: 3,431"


def test_a_claim_that_there_is_none_of_is_refused(writer):
    """A misspelt claim ends the build; nothing is left blank."""
    with pytest.raises(ClaimError, match=r"'totals\.plannned', which no query"):
        writer.say("{totals.plannned}")


def test_apostrophes_are_those_of_print(writer):
    """Straight apostrophes in words become curly; those of data stay."""
    assert writer.say("the run's") == (Words("the run\N{RIGHT SINGLE QUOTATION MARK}s"),)


@pytest.mark.parametrize("path", _SECTIONS, ids=lambda path: path.stem)
def test_no_section_types_a_number(path):
    """Every sentence in the sources of the sections holds no number, whether this run chooses it or another."""
    tree = ast.parse(path.read_text("utf-8"))
    documented = ast.Module | ast.FunctionDef | ast.ClassDef
    told = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, documented)}
    names_of_criteria = {
        argument.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_tone"
        for argument in node.args
        if isinstance(argument, ast.Constant)
    }
    sentences = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and " " in node.value
        and not re.fullmatch(r"\w+\[[^]]+\]\.\w+:\w+", node.value)  # a claim that a part hangs on
        and node.value not in told | names_of_criteria
    ]
    for sentence in sentences:
        refuse_numbers(re.sub(r"\[[A-Za-z -]+\]", "", re.sub(r"\{[^{}]*\}", "", sentence)))
