"""What starts lanes by an index elsewhere: a Slurm array and a Kubernetes Indexed Job."""

import re
import shlex
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from soaklib.commands import send
from soaklib.commands.send import _given_job, _own_job, start_time
from soaklib.errors import SettingsError
from soaklib.fleet.lanes import Lane

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
    ],
)  # fmt: skip
def test_what_lanes_cannot_share_is_refused(flags, words):
    """Lanes have one start and one gateway, and an in-flight cap has a place for each."""
    options, rest = send.flags().parse_known_args(["--lane", "0/2", *flags])
    with pytest.raises(SettingsError, match=words):
        _own_job(options, Lane(0, 2), rest)


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
