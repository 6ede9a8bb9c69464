"""What starts lanes by an index elsewhere: a Slurm array and a Kubernetes Indexed Job."""

import asyncio
import datetime as dt
import json
import os
import re
import shlex
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from soaklib.commands import send
from soaklib.commands.send import _given_job, _own_job, _stop_when_closed, start_time
from soaklib.errors import SettingsError
from soaklib.fleet.job import LaneJob
from soaklib.fleet.lane_run import lane_manifest, settle
from soaklib.fleet.lanes import Lane
from soaklib.fleet.launch import fleeted
from soaklib.plan.loading import load_settings
from soaklib.plan.model import load_plan
from soaklib.runner.job import SoakJob

_SCRIPTS = Path(__file__).parents[2] / "scripts"


def _job_of(words):
    """Give the lane and the job that a command line makes."""
    assert words[:3] == ["exec", "soaklib", "send"]
    options, rest = send.flags().parse_known_args(words[3:])
    lane = Lane.parse(options.lane)
    return lane, _own_job(options, lane, rest)


def _manifest():
    return yaml.safe_load((_SCRIPTS / "soak-fleet.k8s.yaml").read_text())


@pytest.mark.parametrize("version", ["1.29", "1.33", "1.37"])
def test_the_kubernetes_job_is_one_by_the_schema_of_kubernetes(version):
    """The manifest stands the schema of `batch/v1` that Kubernetes publishes, strictly: no name is unknown to it."""
    assert kubernetes_validate.validate(_manifest(), version, strict=True).startswith(version)


def test_a_manifest_with_a_misspelt_name_does_not_stand_the_schema():
    """The schema is asked about every name: one that is misspelt is refused."""
    manifest = _manifest()
    manifest["spec"]["backofLimitPerIndex"] = manifest["spec"].pop("backoffLimitPerIndex")
    with pytest.raises(kubernetes_validate.ValidationError, match="backofLimitPerIndex"):
        kubernetes_validate.validate(manifest, "1.37", strict=True)


def test_the_kubernetes_job_starts_each_lane_once_at_a_time():
    """All lanes run at once, one pod each, none beside its predecessor; and the command makes the lane's job."""
    spec = _manifest()["spec"]
    pod = spec["template"]["spec"]
    assert (spec["completionMode"], spec["podReplacementPolicy"], pod["restartPolicy"]) == (
        "Indexed",
        "Failed",
        "Never",
    )
    assert spec["backoffLimitPerIndex"] == 1
    assert spec["maxFailedIndexes"] == spec["completions"]
    [container] = pod["containers"]
    values = {variable["name"]: variable["value"] for variable in container["env"]} | {"JOB_COMPLETION_INDEX": "3"}
    assert spec["completions"] == spec["parallelism"] == int(values["LANES"])
    command = re.sub(r"\$(\w+)", lambda match: values[match[1]], container["command"][2])
    lane, made = _job_of(shlex.split(command))
    assert (lane, made.lanes, made.run_id) == (Lane(3, 4), 4, "weekly")
    assert made.anchor_utc.isoformat() == "2026-11-30T23:00:00+00:00"
    assert made.start_us == 3_600_000_000


def test_the_slurm_array_makes_a_lane_of_each_task():
    """The array counts from 0, is not put into the queue again, and its command makes the task's lane."""
    text = (_SCRIPTS / "soak-fleet.slurm").read_text()
    flags = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", text, re.MULTILINE))
    assert flags["array"] == "0-3"
    assert "no-requeue" in flags
    assert "requeue" not in flags
    values = {
        "SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "4", "START": "2026-12-01T00:00:00Z", "RUN": "weekly",
        "GATEWAY_URL": "https://gateway.example", "OUT": "data/runs", "FLAGS": "--rps 100",
    }  # fmt: skip
    command = text[text.index("exec soaklib") :].replace("\\\n", " ")
    command = re.sub(r"\$\{(\w+)(?::[?-][^}]*)?\}|\$(\w+)", lambda match: values[match[1] or match[2]], command)
    lane, made = _job_of(shlex.split(command))
    assert (lane, made.lanes, made.run_id) == (Lane(2, 4), 4, "weekly")
    assert made.settings["rps"] == 100.0


@pytest.mark.parametrize("text", ["2026-12-01T00:00:00", "soon", ""])
def test_a_start_says_its_zone(text):
    """A start without a zone means another instant on each machine, and is refused."""
    with pytest.raises(SettingsError, match="with its zone"):
        start_time(text)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--gateway-url", "http://127.0.0.1:1"], "pass --start-at"),
        (["--start-at", "2026-12-01T00:00:00Z"], "pass --gateway-url"),
        (["--start-at", "2026-12-01T00:00:00Z", "--gateway-url", "http://127.0.0.1:1", "--max-in-flight", "1"],
         "leaves none"),
        (["--start-at", "2026-12-01T00:00:00Z", "--gateway-url", "http://127.0.0.1:1", "--run-id", "../r1"],
         r"--run-id '\.\./r1': String should match pattern"),
        (["--start-at", "2026-12-01T00:00:00Z", "--gateway-url", "http://127.0.0.1:1", "--run-id", ".."],
         r"--run-id '\.\.': String should match pattern"),
    ],
)  # fmt: skip
def test_what_lanes_cannot_share_is_refused(flags, words):
    """Lanes have one start and one gateway, and an in-flight cap has a place for each."""
    options, rest = send.flags().parse_known_args(["--lane", "0/2", *flags])
    with pytest.raises(SettingsError, match=words):
        _own_job(options, Lane(0, 2), rest)


def test_a_job_holds_no_password(monkeypatch, tmp_path):
    """That of the gateway's database, of which no lane knows anything, stays with whoever gave it."""
    monkeypatch.setenv("SOAK_DATABASE_URL", "postgresql://u:open-sesame@127.0.0.1/gateway")
    options, rest = send.flags().parse_known_args(
        ["--lane", "0/2", "--start-at", "2026-12-01T00:00:00Z", "--gateway-url", "http://127.0.0.1:1"]
    )
    made = _own_job(options, Lane(0, 2), rest)
    settings = load_settings(["--gateway-url", "http://127.0.0.1:1", "--senders", "2"])
    conducted = fleeted(
        SoakJob(
            run_id="r1", folder=tmp_path, settings=settings, plan=made.plan, target="http://127.0.0.1:1",
            anchor_utc=made.anchor_utc,
        )
    ).senders.job  # fmt: skip
    for job in (made, conducted):
        assert "open-sesame" not in job.model_dump_json()
        assert "open-sesame" not in str(lane_manifest(job, Lane(0, 2)))
        assert job.settings_of(Lane(0, 2)).database_url is None


def test_the_folder_of_a_run_is_private_whoever_makes_it(tmp_path):
    """The first of its lanes, and a merge of lanes that were elsewhere."""
    options, rest = send.flags().parse_known_args(
        ["--lane", "0/2", "--start-at", "2026-12-01T00:00:00Z", "--gateway-url", "http://127.0.0.1:1", "--run-id", "r1",
         "--out", str(tmp_path / "runs")]
    )  # fmt: skip
    home = send._home(options, _own_job(options, Lane(0, 2), rest), rest)
    assert home == tmp_path / "runs" / "r1"
    assert (home.stat().st_mode & 0o777, send._home(options, _own_job(options, Lane(0, 2), rest), rest)) == (
        0o700,
        home,
    )


def test_a_pipe_that_a_sender_does_not_wait_for_is_as_it_was_after_it():
    """Whoever writes to the same pipe next counts on being waited for."""
    reading, writing = os.pipe()
    with open(reading, "rb"), open(writing, "wb"):  # noqa: PTH123 - descriptors
        with send._held_up_by_nobody(writing):
            assert not os.get_blocking(writing)
        assert os.get_blocking(writing)


def test_a_machine_that_sends_nothing_needs_no_file_of_those_that_do(tmp_path):
    """The gateway's authorities are on the lanes' machines, and a merge on none of them."""
    settings = json.loads(load_settings(["--gateway-url", "https://127.0.0.1:1"]).public_json())
    job = LaneJob(
        run_id="r1", anchor_utc=dt.datetime(2026, 12, 1, tzinfo=dt.UTC), lanes=2, start_us=0,
        target="https://127.0.0.1:1", settings=settings | {"ca_file": str(tmp_path / "gone.pem")}, plan=load_plan(),
    )  # fmt: skip
    with pytest.raises(SettingsError, match=r"gone\.pem"):
        job.settings_of(Lane(0, 2))
    assert job.settings_of(Lane(0, 2), is_sending=False).ca_file is None
    settle(job, Lane(0, 2), tmp_path, zero_us=0, until_s=60.0)
    assert (tmp_path / "run.duckdb").exists()


def test_caps_and_agents_are_divided(tmp_path):
    """A lane has its share of the cap and of the agents that the run was given, from its own flags or from a file."""
    flags = ["--start-at", "2026-12-01T00:00:00Z", "--gateway-url", "http://127.0.0.1:1", "--max-in-flight", "7",
             "--agents-per-role", "5"]  # fmt: skip
    options, rest = send.flags().parse_known_args(["--lane", "0/3", *flags])
    made = _own_job(options, Lane(0, 3), rest)
    shares = [made.settings_of(Lane(number, 3)) for number in range(3)]
    assert [one.max_in_flight for one in shares] == [3, 2, 2]
    assert [one.agents_per_role for one in shares] == [2, 2, 1]
    options, rest = send.flags().parse_known_args(["--lane", "0/3", "--job", str(made.write(tmp_path))])
    assert _given_job(options, Lane(0, 3), rest) == made
    with pytest.raises(SettingsError, match="has 3 lanes"):
        _given_job(options, Lane(0, 2), rest)


def test_a_conductor_that_is_gone_is_heard_once():
    """The end of its pipe can be read for ever: the loop is not kept busy by it."""

    async def main():
        reading, writing = os.pipe()
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        _stop_when_closed(reading, stop)
        os.close(writing)
        await stop.wait()
        is_still_read = loop.remove_reader(reading)
        os.close(reading)
        return is_still_read

    assert asyncio.run(main()) is False
