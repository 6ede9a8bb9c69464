"""Mistakes in flags: one line, the nearest that is right, the code for bad usage; and completion in a shell."""

import shutil
import subprocess

import pytest

from soaklib.commands import (
    changes,
    collect,
    compare,
    main,
    merge,
    notebooks,
    report,
    run,
    sample,
    schedules,
    verify,
    watch,
    weekly,
)  # fmt: skip
from soaklib.commands.completion import main as completion
from soaklib.commands.completion import whole_parser
from soaklib.commands.flags import seconds_from_0
from soaklib.commands.main import COMMANDS
from soaklib.gateway import server

MISTAKES = {
    "run": (run.main, ["--rsp", "3"], "--rsp: did you mean --rps?"),
    "weekly": (weekly.main, ["--rsp=3"], "--rsp: did you mean --rps?"),
    "report": (report.main, ["--agianst", "x"], "--agianst: did you mean --against?"),
    "collect": (collect.main, ["latest", "--parqet"], "--parqet: did you mean --parquet?"),
    "verify": (verify.main, ["--hlep"], "--hlep: did you mean --help?"),
    "compare": (compare.main, ["--hlep", "a", "b"], "--hlep: did you mean --help?"),
    "changes": (changes.main, ["chaos-on", "--tol", "x"], "--tol: did you mean --tool?"),
    "notebooks": (notebooks.main, ["--copyonly"], "--copyonly: did you mean --copy-only?"),
    "sample": (sample.main, ["--hlep"], "--hlep: did you mean --help?"),
    "schedules": (schedules.main, ["--hlep"], "--hlep: did you mean --help?"),
    "completion": (completion, ["--hlep"], "--hlep: did you mean --help?"),
    "gateway": (server.main, ["--prot", "1"], "--prot: did you mean --port?"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_wrong_flag_is_told_the_nearest_in_one_line(name, capsys):
    """In every command, whatever else is missing, with the code for bad usage and without the whole usage."""
    command, arguments, said = MISTAKES[name]
    try:
        code = command(arguments)
    except SystemExit as exc:
        code = exc.code
    err = capsys.readouterr().err
    assert code == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_a_flag_that_is_like_none_is_told_to_be_none(capsys):
    """Nothing is suggested that is not near."""
    assert run.main(["--xyzzy"]) == 2
    assert capsys.readouterr().err.strip().endswith("there is no flag --xyzzy")


@pytest.mark.parametrize("text", ["nan", "inf", "1e999", "-1", "-0.5", "soon", ""])
def test_a_time_that_is_none_is_told_in_one_line(text, capsys):
    """A page that is to end when nobody looked for nan seconds would never end, or at once."""
    with pytest.raises(SystemExit, match="2"):
        watch.main(["latest", f"--until-idle={text}"])
    told = f"soaklib watch: argument --until-idle: {text!r} is no time in seconds: a number from 0; --help tells more\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(("text", "seconds"), [("0", 0.0), ("1.5", 1.5), ("1e3", 1000.0)])
def test_a_time_in_seconds_is_read(text, seconds):
    """With a fraction or without."""
    assert seconds_from_0(text) == seconds


@pytest.mark.parametrize("text", ["-1", "1.0", "nan", 5000 * "9", "\N{SUPERSCRIPT TWO}", ""])
def test_a_lane_that_no_fleet_has_is_told_in_one_line(text, capsys):
    """Lanes are numbered from 0."""
    with pytest.raises(SystemExit, match="2"):
        merge.main(["x", f"--lost={text}"])
    assert f"argument --lost: {text!r} is no whole number from 0; --help" in capsys.readouterr().err


def test_what_is_missing_is_told_in_one_line(capsys):
    """Not the usage of the whole command."""
    with pytest.raises(SystemExit, match="2"):
        report.main([])
    assert capsys.readouterr().err == ("soaklib report: the following arguments are required: RUN; --help tells more\n")


def test_every_command_can_be_completed():
    """Each has its name and its flags in the parser that completion is made of."""
    [commands] = [action for action in whole_parser()._actions if action.choices]
    assert list(commands.choices) == list(COMMANDS)
    flags = {name: {flag for action in parser._actions for flag in action.option_strings}
             for name, parser in commands.choices.items()}  # fmt: skip
    assert {"--rps", "--gateway-url", "--resume"} <= flags["run"]
    assert "--port" in flags["gateway"]
    assert "--keep" in flags["weekly"]
    assert all("--help" in told for name, told in flags.items() if name in MISTAKES)


def test_a_command_is_known_by_its_door(capsys):
    """`soaklib COMMAND` gives the same line."""
    assert main.main(["runn"]) == 2
    assert "did you mean run?" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_a_flag(tmp_path, capsys):
    """The script is bash's own, and completes what was begun."""
    assert completion(["bash"]) == 0
    script = tmp_path / "soaklib.bash"
    script.write_text(capsys.readouterr().out)
    asked = (
        f"source {script}; COMP_WORDS=(soaklib run --rp); COMP_CWORD=2; _shtab_soaklib; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    ended = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, timeout=60, check=True)  # noqa: S607 - whichever bash there is
    assert ended.stdout.split() == ["--rps"]
