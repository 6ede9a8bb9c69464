"""Answers of real gateways, kept verbatim in tests/data/targets: status line, headers, body; and what they are."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

from multidict import CIMultiDict

_FOLDER = Path(__file__).parent / "data" / "targets"


class Answer(NamedTuple):
    """An answer as it came; a body of events is ended by its blank line again."""

    status: int
    headers: CIMultiDict
    body: bytes

    def with_crlf(self):
        """Give the same with the line ends that MCP servers use."""
        return self._replace(body=self.body.replace(b"\n", b"\r\n"))

    @property
    def is_stream(self):
        return self.headers.get("Content-Type", "").startswith("text/event-stream")


def answers(gateway):
    """Give a gateway's answers by case."""
    found = {}
    for part in (_FOLDER / f"{gateway}.txt").read_bytes().split(b"=== ")[1:]:
        name, _, rest = part.partition(b"\n")
        head, _, body = rest.partition(b"\n\n")
        status, *headers = head.decode().rstrip("\n").split("\n")
        fields = CIMultiDict(line.split(": ", 1) for line in headers)
        body = body.removesuffix(b"\n")
        answer = Answer(int(status.split()[1]), fields, body)
        found[name.decode()] = answer._replace(body=body + b"\n\n") if answer.is_stream and body else answer
    return found


def readings():
    """Give what each answer that stands for a kind is: rows of readings.tsv."""
    with (_FOLDER / "readings.tsv").open(newline="") as file:
        return [{name: value or None for name, value in row.items()} for row in csv.DictReader(file, delimiter="\t")]
