"""A gateway read from outside while it is soaked, and its finished runs kept by one command."""

import os
import subprocess
import sys

import polars as pl
import pytest
from gateway_digests import write_run
from gateways import ROOT
from watching import Tree, watching

import soaklib
from soaklib.digests.process import PROCESS_SCHEMA


def test_memory_and_time_of_a_process_are_read(tmp_path):
    """A line at once, and by then; resident bytes are those of a Python, and CPU time does not go back."""
    path = tmp_path / "process.csv"
    with watching(os.getpid(), path, every_s=0.001):
        while path.exists() is False or len(path.read_text().splitlines()) < 4:
            sum(range(10_000))
    told = pl.read_csv(path, schema=PROCESS_SCHEMA)
    assert told["rss_bytes"].min() > 2**20
    assert told["cpu_s"].is_sorted()
    assert told["processes"].min() >= 1


@pytest.mark.slow
def test_what_a_child_used_counts_when_it_has_ended():
    """Its workers are the gateway's, and so is the time of one that was replaced."""
    spin = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True)\ninput()"
    tree = Tree(os.getpid())
    with subprocess.Popen([sys.executable, "-c", spin], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        _, during_s, number = tree.read()
        child.communicate(b"\n")
    assert number >= 2
    assert tree.read()[1] >= during_s >= 0.5


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of one gateway."""
    where = tmp_path_factory.mktemp("soaked")
    return [str(write_run(where / name, name)) for name in ("first", "second")]


def keep(*words):
    """Run the command as a person would."""
    command = [ROOT / "scripts" / "gateways" / "keep", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.slow
def test_runs_are_kept_under_the_gateways_name(runs, tmp_path):
    """The second soak has a number behind it; both say what it was and which limit it was held to."""
    kept = keep("litellm", *runs, "--into", str(tmp_path))
    assert kept.returncode == 0, kept.stderr
    digests = soaklib.read_digests(tmp_path)
    assert list(digests) == ["litellm", "litellm-2"]
    facts = digests["litellm-2"].facts
    assert (facts["name"], facts["run_id"], facts["is_direct"]) == ("litellm", "second", False)
    assert facts["about"].startswith("LiteLLM's proxy 1.108.0")
    assert [limit["name"] for limit in facts["limits"]] == ["requests, cut"]


@pytest.mark.slow
def test_a_run_that_is_not_whole_is_not_kept(tmp_path):
    """One sentence, and the exit code of a run that cannot be read."""
    (tmp_path / "run").mkdir()
    refused = keep("litellm", str(tmp_path / "run"), "--into", str(tmp_path / "kept"))
    assert refused.returncode != 0
    assert refused.stderr.startswith("keep: ")
    assert not (tmp_path / "kept").exists()
