"""How sentences are made: words with places for claims, and no number among the words.

A template holds ``{family.column}`` for what a claim says and ``{family.column:n}`` (``low``, ``high``, ``interval``)
for its other parts; ``{row.column}`` for a claim of a row that is passed as ``row=``; and
``{family.column?call:calls}`` for the word that goes with its value; ``{@figure-name}`` points at a figure and
``{#key}`` at a reference. Whatever stands outside the braces must not state a number. A number word that counts
nothing in the run (a "two-sided" interval, "one of them") is marked as meant by square brackets: ``[one] of them``.
Digits have no such mark: they are always a claim's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from soaklib.whitepaper.document import Link, Stated, Words
from soaklib.whitepaper.ledger import ClaimError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from soaklib.whitepaper.claims import Claim
    from soaklib.whitepaper.document import Inline, Text
    from soaklib.whitepaper.ledger import Ledger, Row

__all__ = ["Writer", "joined", "refuse_digits", "refuse_numbers"]

_PLACE: Final = re.compile(r"\{([^{}?:]+)(?::(n|low|high|interval)|\?([^{}:]*):([^{}]*))?\}|\[([A-Za-z][A-Za-z -]*)\]")
_NUMBER_WORDS: Final = (
    "zero one(?!_another) two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty sixty "
    "seventy eighty ninety hundreds? thousands? millions? billions? dozens? half thirds? quarters? tenths? once twice "
    "thrice doubled? tripled?"
)
_NUMBER: Final = re.compile(
    rf"\d|\b(?:{'|'.join(_NUMBER_WORDS.split())})\b".replace("_another", " another"), re.IGNORECASE
)


_POINTERS: Final[dict[str, Callable[[str], Link]]] = {
    "@": lambda name: Link("Figure", name, "figure"),
    "#": lambda key: Link("", key, "reference"),
}


def refuse_digits(words: str) -> str:
    """Give words back that a number word was marked in: digits have no mark.

    Raises
    ------
    ClaimError
        There is a digit among them.
    """
    if any(letter.isdigit() for letter in words):
        msg = f"the whitepaper's own words state a number, in {words.strip()!r}: let a claim say it"
        raise ClaimError(msg)
    return words


def refuse_numbers(words: str) -> str:
    """Give words back that state no number.

    Raises
    ------
    ClaimError
        There is a digit or a number word among them.
    """
    if (found := _NUMBER.search(words)) is not None:
        msg = f"the whitepaper's own words state a number, {found[0]!r}, in {words.strip()!r}: let a claim say it"
        raise ClaimError(msg)
    return words


class Writer:
    """Writes sentences from claims.

    Parameters
    ----------
    ledger
        What can be said.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def say(self, template: str, **rows: Row) -> Text:
        """Fill a template in; see the module for its form.

        Raises
        ------
        ClaimError
            Its words state a number, or a claim is named that there is none of.
        """
        return tuple(self._parts(template, rows))

    def _parts(self, template: str, rows: dict[str, Row]) -> Iterator[Inline]:
        end = 0
        for place in _PLACE.finditer(template):
            if place.start() > end:
                yield _words(template[end : place.start()])
            end = place.end()
            name, part, singular, plural, marked = place.groups()
            if marked is not None:
                yield Words(marked, is_marked=True)
                continue
            if name[0] in _POINTERS:
                yield _POINTERS[name[0]](name[1:])
                continue
            claim = self._claim(name, rows)
            if singular is None:
                yield Stated(claim.worded(part or "value"), claim.name if part is None else f"{claim.name}:{part}")
            else:
                yield _words(singular if claim.value == 1 else plural)
        if end < len(template):
            yield _words(template[end:])

    def _claim(self, name: str, rows: dict[str, Row]) -> Claim:
        family, _, column = name.rpartition(".")
        return rows[family].claims[column] if family in rows else self.ledger[name]

    def listed(self, column: str, rows: list[Row]) -> Text:
        """Give the claims of a column of several rows as a list in a sentence."""
        parts: list[Inline] = []
        for place, row in enumerate(rows):
            if place:
                parts.append(Words(" and " if place == len(rows) - 1 else ", "))
            parts.append(Stated(row.claims[column].text, row.claims[column].name))
        return tuple(parts)

    def has(self, name: str) -> bool:
        """Say whether a claim is there and knows its value."""
        claim = self.ledger.claims.get(name)
        return claim is not None and claim.value is not None

    def count(self, name: str) -> float:
        """Give a claim's value as a number, for a sentence to be chosen by."""
        return self.ledger.value(name)

    def is_word(self, name: str, value: str) -> bool:
        """Say whether a claim's value is this word."""
        return self.ledger[name].value == value


def _words(text: str) -> Words:
    return Words(refuse_numbers(text).replace("'", "\N{RIGHT SINGLE QUOTATION MARK}"))


def joined(*texts: Text) -> Text:
    """Give texts as one."""
    return tuple(part for text in texts for part in text)
