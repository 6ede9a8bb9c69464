"""The documents: every link leads somewhere, and every command line is one that works."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from soaklib.commands import changes, collect, verify, weekly
from soaklib.plan.loading import load_settings
from soaklib.whitepaper.build import made_claims
from soaklib.whitepaper.claims import CLAIMS_NAME, written

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "MANUAL.md", "CONTRIBUTING.md", "CHANGELOG.md")
MOST_LINES_OF_THE_FRONT_PAGE = 250


def anchors(document):
    """Give the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", (ROOT / document).read_text("utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document):
    """A file that is there, and a heading that is in it; what is elsewhere is a whole address."""
    text = re.sub(r"```.*?```", "", (ROOT / document).read_text("utf-8"), flags=re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if re.match(r"https?://", target):
            continue
        where = path or document
        if not (ROOT / where).exists() or (anchor and anchor not in anchors(where)):
            broken.append(target)
    assert broken == []


def test_the_front_page_is_one():
    """Whoever comes by reads it to its end."""
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= MOST_LINES_OF_THE_FRONT_PAGE


# -- command lines


def commands():
    """Give every command line of the documents' blocks of shell, continued lines joined, comments left out."""
    found = []
    for document in ("README.md", "MANUAL.md", "CONTRIBUTING.md"):
        for block in re.findall(r"```sh\n(.*?)```", (ROOT / document).read_text("utf-8"), flags=re.DOTALL):
            text = re.sub(r"\n {4,}(?=from )", " ", block)  # a string that goes on in the next line
            lines = [re.sub(r"\s{2,}#.*$", "", line).strip() for line in text.splitlines()]
            found += [line for line in lines if line and not re.match(r"run=\S+$|#", line)]
    return found


PARSERS = {
    "run": load_settings, "changes": changes.flags().parse_args, "collect": collect.flags().parse_args,
    "verify": verify.flags().parse_args,
    "weekly": lambda words: load_settings(weekly.flags().parse_known_args(words)[1]),
}  # fmt: skip
OURS = re.compile(r"(?:\.venv/bin/(?:python -m soaklib\.|soaklib )|scripts/)(run|changes|collect|verify|weekly)\b(.*)")
RUN_BY = {
    r"scripts/soak$": "tests/integration/test_wheel.py",
    r"scripts/test$": "scripts/test",
    r".*soaklib run --plan openai\.toml$": "tests/commands/test_other_wires.py",
    r".*soaklib run --plan mcp\.toml$": "tests/commands/test_other_wires.py",
    r".*soaklib run --plan litellm\.toml": "tests/targets/test_plans.py",
    r".*gateway\.example --check$": "tests/commands/test_run.py",
    r".*gateway\.example --check --deep --yes$": "tests/commands/test_preflight.py",
    r".*soaklib\.run --gateway-url https://gateway\.example$": "tests/commands/test_run.py",
    r".*soaklib\.changes chaos-o": "tests/commands/test_changes.py",
    r".*soaklib\.run --resume ": "tests/commands/test_run.py",
    r".*soaklib\.collect ": "tests/commands/test_collect.py",
    r".*soaklib\.verify ": "tests/commands/test_verify.py",
    r"scripts/weekly ": "tests/integration/test_weekly_started.py",
}
"""What runs a command line, with a gateway that is here: by the beginning of the line."""
RUN_HERE = (r"grep -E ", r"jq ", r"\.venv/bin/python -c ")
"""What is run below, on the run that comes with soaklib."""
NOT_HERE = {
    r"xdg-open ": "it opens a browser on a desktop",
    r"\.venv/bin/jupyter lab ": "it stays until it is stopped; tests/integration/test_jupyterlab.py starts it",
    r"duckdb ": "DuckDB's own shell comes with no Python package",
    r".*scripts/bench/": "a benchmark takes minutes and a machine of its own",
}


@pytest.mark.parametrize("line", commands())
def test_every_command_line_is_run_by_a_test_or_said_to_be_none_that_can_be(line):
    """One of the three, and what is named is there."""
    by = [where for begins, where in RUN_BY.items() if re.match(begins, line)]
    here = [begins for begins in RUN_HERE if re.match(begins, line)]
    never = [why for begins, why in NOT_HERE.items() if re.match(begins, line)]
    assert len(by) + len(here) + len(never) == 1
    assert all((ROOT / where).is_file() for where in by)
    for script in re.findall(r"scripts/[a-z/_]+(?:\.py)?", line):
        assert (ROOT / script).is_file()


def test_no_entry_is_of_a_line_that_is_gone():
    """Who takes a line out of a document takes it out here."""
    lines = commands()
    assert [one for one in (*RUN_BY, *RUN_HERE, *NOT_HERE) if not any(re.match(one, line) for line in lines)] == []


@pytest.mark.parametrize("line", [line for line in commands() if OURS.match(line)])
def test_every_flag_of_a_command_line_is_one_that_the_command_has(line, monkeypatch):
    """Its own parser takes the line, with a URL where the document says URL."""
    monkeypatch.chdir(ROOT)
    command, words = OURS.match(line).groups()
    PARSERS[command](shlex.split(words.replace(" URL", " http://127.0.0.1:1")))


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in commands() if re.match("|".join(RUN_HERE), line)])
def test_what_is_asked_of_a_run_is_answered(line, tmp_path):
    """By the run that comes with soaklib, as if it were the newest."""
    if shutil.which(line.split()[0]) is None and not line.startswith(".venv"):
        pytest.skip(f"{line.split()[0]} is not installed")
    (tmp_path / "data" / "runs").mkdir(parents=True)
    shutil.copytree(ROOT / "data" / "sample", tmp_path / "data" / "runs" / "20260101T000000Z-0001")
    (tmp_path / "data" / "runs" / "latest").symlink_to("20260101T000000Z-0001")
    if CLAIMS_NAME in line:  # the sample has none of its own
        claims = made_claims(ROOT / "data" / "sample").claims.values()
        (tmp_path / "data" / "runs" / "latest" / CLAIMS_NAME).write_text(written(claims), encoding="utf-8")
    words = line.replace(".venv/bin/python", shlex.quote(sys.executable)).replace("$run", "data/runs/latest")
    ended = subprocess.run(["bash", "-c", words], cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S607
    assert (ended.returncode, bool(ended.stdout.strip())) == (0, True), ended.stderr
