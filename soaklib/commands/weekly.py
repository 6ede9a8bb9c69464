"""``python -m soaklib.weekly``: a soak, its report, its evidence, and how it compares with the last good run.

Made to be started by a timer. Every flag that is not its own goes to ``python -m soaklib.run``, which runs as a process
of its own. After the soak come the comparison, the report, the bundle and its check; then it is said which runs of
earlier weeks are no longer needed, and with ``--remove`` they are removed.

A run that got worse is not good (:mod:`soaklib.evidence.baseline`), and so never the measure of the next one, which
keeps being compared with what was good, until ``--against`` names another run. Each is held against the oldest good run
as well, so that no level creeps.

Cut off at any point, it can be started again: ``--resume RUN`` goes on with a soak that is not complete, and does what
is left for one that is. Without it, a new week begins, and what was found of an older one is said.

The exit code is that of the soak. A soak that ended with 0 makes it 1 if an endpoint got worse, if the report or the
bundle could not be made, or if the bundle does not verify; the last lines of standard error say which. The last line of
standard output is the run's folder.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soaklib.analysis.sources.run import find_run, glance_at, open_run
from soaklib.commands.ending import costing
from soaklib.commands.flags import Flags
from soaklib.commands.only_one import only_one
from soaklib.commands.process import command, find_folder, stopping_signals
from soaklib.commands.report import build_report
from soaklib.errors import ExitCode, RunError, SettingsError, SoaklibError
from soaklib.evidence.baseline import EarlierRuns, verdicts_code, why_unverified
from soaklib.evidence.checking import verify
from soaklib.evidence.collecting import collect
from soaklib.evidence.comparison import Comparison, compared, read_comparison, write_comparison
from soaklib.evidence.judging import judge_folder, settle
from soaklib.evidence.reference import keep_reference, why_no_reference
from soaklib.evidence.retention import bundle_of, fates, remove_run, run_folders
from soaklib.evidence.weeks import changes_over_weeks, of_same_load, values_by_run, weekly_values
from soaklib.plan.loading import load_settings
from soaklib.plan.named import named_secrets
from soaklib.records import RunStatus
from soaklib.reports.pipeline import tell_pipeline
from soaklib.store.lock import RunLock, is_owned

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from soaklib.analysis.sources.run import RunInfo
    from soaklib.evidence.baseline import Baseline
    from soaklib.plan.settings import SoakSettings

__all__ = ["flags", "main"]

_KEEP: Final = 4


def _say(text: str) -> None:
    print(f"weekly: {text}", file=sys.stderr, flush=True)


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    options, for_soak = flags().parse_known_args(arguments)
    try:
        settings = load_settings(for_soak)
        resumed = None if settings.resume is None else find_folder(settings.resume)
        out = settings.out.resolve() if resumed is None else resumed.parent
        with only_one(out):
            return _Week(options, for_soak, settings, out, resumed).run()
    except SoaklibError as exc:
        _say(str(exc))
        return exc.exit_code


class _Week:
    """One week.

    Parameters
    ----------
    options
        The command's own flags.
    for_soak
        The flags for the soak.
    settings
        What those flags mean.
    out
        The folder that holds the runs.
    resumed
        The folder of the run to go on with; None for a new one.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        for_soak: list[str],
        settings: SoakSettings,
        out: Path,
        resumed: Path | None,
    ) -> None:
        self._options = options
        self._for_soak = for_soak
        self._settings = settings
        self._out = out
        self._resumed = resumed
        self._before = run_folders(out)
        self._bad: list[str] = []
        self._is_told = True  # to the pipeline, by the soak

    def run(self) -> int:
        """Do everything; give the exit code."""
        self._look_around()
        against = None if self._options.against is None else self._asked_for(self._options.against)
        code, folder = self._soak()
        if folder is None:
            return code
        info = glance_at(folder).info
        completed = info.status == RunStatus.COMPLETED
        if code in {ExitCode.OK, ExitCode.CRITERION_FAILED}:
            earlier = EarlierRuns(self._out, info)
            baseline = earlier.baseline(against)
            is_new = False
            if completed and baseline.folder is not None:
                with RunLock(folder), costing(lambda why: self._bad.append(f"NOT JUDGED AGAINST A GOOD RUN: {why}")):
                    code, is_new = self._judge_against(folder, baseline.folder, code)
            if is_new or not self._is_told:
                with costing(lambda why: self._bad.append(f"NO WORD TO THE PIPELINE: {why}")):
                    self._tell_pipeline(folder)
            if completed:  # before the report, whose paper tells of it
                with RunLock(folder), costing(lambda why: self._bad.append(f"NO COMPARISON: {why}")):
                    is_new = self._compare(folder, info, baseline, earlier) or is_new
            self._report(
                folder, baseline.folder, renew=is_new
            )  # without the lock: its kernels are readers, and wait for a writer
            with RunLock(folder), costing(lambda why: self._bad.append(f"NO BUNDLE: {why}")):
                self._pack(folder)
            if completed:
                is_good = code == ExitCode.OK and not self._bad
                good = folder if is_good else earlier.baseline().folder
                oldest = folder if is_good and baseline.is_asked_for else earlier.oldest()
                with costing(lambda why: self._bad.append(f"OLD RUNS NOT LOOKED AT: {why}")):
                    held = {one for one in (baseline.folder, good, oldest) if one is not None}
                    self._let_old_runs_go(info, held)
        if not completed:
            _say(f"the run is {info.status} and was not compared; go on with it: --resume {folder}")
        for text in self._bad:
            _say(text)
        if code == ExitCode.OK and self._bad:
            code = ExitCode.CRITERION_FAILED
        _say(f"exit code {code}")
        print(folder)
        return code

    # -- before

    def _asked_for(self, against: str) -> Path:
        """Give the run that is to be compared with; what is none is refused before a day is spent.

        Raises
        ------
        RunError
            It is none.
        SettingsError
            It is the run that is gone on with, which would be compared with itself.
        """
        folder = find_run(against).resolve()
        run_id = glance_at(folder).info.run_id
        if self._resumed is not None and glance_at(self._resumed).info.run_id == run_id:
            msg = f"--against {against} is the run that is gone on with: pass another"
            raise SettingsError(msg)
        return folder

    def _look_around(self) -> None:
        """Say what earlier weeks left undone.

        Raises
        ------
        RunError
            A soak is going on: two at a time would measure each other.
        """
        for folder in self._before:
            if is_owned(folder):
                msg = f"a soak is still going on in {folder}; wait for it or stop it first"
                raise RunError(msg)
        for folder in self._before:
            if folder == self._resumed:
                continue
            try:
                status = glance_at(folder).info.status
                comparison = read_comparison(folder)
            except SoaklibError as exc:
                _say(f"found: {exc}")
                continue
            if status == RunStatus.COMPLETED:
                if comparison is None or not bundle_of(folder).is_file():
                    _say(f"found: {folder} is complete, and was not compared or packed; to do so: --resume {folder}")
                return  # what is older than a complete run is history
            how = "was cut off" if status == RunStatus.RUNNING else f"is {status}"
            _say(f"found: {folder} {how}; go on with it: --resume {folder}")

    # -- the soak

    def _soak(self) -> tuple[int, Path | None]:
        """Run the soak, unless it is complete; give its exit code and folder."""
        if self._resumed is not None and glance_at(self._resumed).info.status == RunStatus.COMPLETED:
            _say("the soak is complete; doing what is left")
            return self._held_to_its_data(self._resumed), self._resumed
        # a file, not a pipe, for its standard output: the soak must not depend on who started it
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            code = _run_soak(["--no-report", *self._for_soak], output.fileno())
            output.seek(0)
            lines = output.read().splitlines()
        if code < 0:
            name = signal.Signals(-code).name
            _say(f"the soak was killed by {name}{' (out of memory?)' if name == 'SIGKILL' else ''}")
            code = 128 - code
        return code, Path(lines[-1]) if lines else self._folder_without_a_word()

    def _held_to_its_data(self, folder: Path) -> int:
        """Judge a complete run, unless it was judged by what it holds; give the exit code."""
        self._is_told = False  # it may have been killed before it was
        is_judged = False
        with RunLock(folder), costing(lambda why: self._bad.append(f"NOT JUDGED: {why}")):
            settle(folder)
            is_judged = True
        return verdicts_code(glance_at(folder)) if is_judged else ExitCode.RECORDING

    def _folder_without_a_word(self) -> Path | None:
        """Give the folder of a soak that did not live to name it; None if there is none."""
        new = [folder for folder in run_folders(self._out) if folder not in self._before]
        return self._resumed or next(iter(new), None)

    # -- after

    def _report(self, folder: Path, against: Path | None, *, renew: bool) -> None:
        if not self._settings.report:
            return
        with costing(lambda why: self._bad.append(f"NO REPORT: {why}")):
            build_report(
                folder, against=against, renew=renew,
                started=lambda name, place, total: _say(f"report {place + 1}/{total}: {name}"),
            )  # fmt: skip

    def _judge_against(self, folder: Path, good: Path, code: int) -> tuple[int, bool]:
        """Judge a day against that of the good run, unless it was judged so; give the exit code, and whether it was."""
        before = glance_at(folder)
        info = before.info
        if info.reference is None:
            if not info.follows_the_clock or why_no_reference(glance_at(good).info, info):
                return code, False
            tools = ", ".join(keep_reference(folder, good))
            _say(f"judged against the day of {good.name}: {tools or 'no tool of it ends the day as it began'}")
        elif self._resumed is None:
            return code, False
        judge_folder(folder)  # of a week that was cut off before it was, too
        after = glance_at(folder)
        return verdicts_code(after), after.verdicts != before.verdicts or info.reference is None

    def _tell_pipeline(self, folder: Path) -> None:
        """Say again how the run was judged: the soak said it before the good day was taken out of it."""
        seen = glance_at(folder)
        criteria = [verdict._asdict() for verdict in seen.verdicts]
        strict = bool(seen.info.settings.get("strict"))
        tell_pipeline(seen.info.run_id, criteria, junit=self._settings.junit, strict=strict)

    def _compare(self, folder: Path, info: RunInfo, baseline: Baseline, earlier: EarlierRuns) -> bool:
        """Compare the run with the earlier one; say whether that tells what was not recorded yet."""
        before = read_comparison(folder)
        if baseline.folder is None:
            comparison = Comparison(run_id=info.run_id, against=None, detail=baseline.why)
        else:
            with ExitStack() as opened:
                anchor = earlier.anchor(baseline)
                folders = dict.fromkeys([folder, baseline.folder, *earlier.good(), anchor or folder])
                runs = {one: opened.enter_context(open_run(one)) for one in folders}
                kept = [runs[good] for good in earlier.good()]
                comparison = compared(
                    runs[folder], runs[baseline.folder], baseline.why, kept=kept,
                    anchor=None if anchor is None else runs[anchor],
                )  # fmt: skip
        crept = [f"{comparison.anchor}, the oldest good run: {change}" for change in comparison.crept]
        worse = [f"{comparison.against}: {change}" for change in comparison.regressions]
        self._bad += [f"WORSE than {told}" for told in (*worse, *crept)]
        write_comparison(folder, comparison)
        series = list(of_same_load(sorted(run_folders(self._out)), info))
        crept = [f"worse than {told}" for told in crept]
        over_weeks = (*crept, *changes_over_weeks(weekly_values(series)))
        comparison = comparison.model_copy(update={"over_weeks": over_weeks, "weeks": values_by_run(series)})
        write_comparison(folder, comparison)
        if comparison.against is None:
            _say(f"not compared: {comparison.detail}")
        for change in comparison.endpoints:
            _say(f"against {comparison.against}: {change.state}: {change}")
        for text in over_weeks:
            _say(text)
        return comparison != before

    def _pack(self, folder: Path) -> None:
        info = glance_at(folder).info
        own = info.settings.get("header_env") or ()  # of a run that was gone on with
        secrets = named_secrets([*self._settings.header_env, *map(str, own)], info.plan)
        bundle = collect(folder, database_url=self._settings.database_url, secrets=secrets)
        problems, _ = verify(bundle)
        if problems:
            self._bad.append(f"{bundle} IS NOT AUTHENTIC: {'; '.join(problem.text for problem in problems)}")
        else:
            _say(f"{bundle.name} is authentic")

    def _let_old_runs_go(self, info: RunInfo, held: set[Path]) -> None:
        """Remove the runs of this load that are no longer needed, or say which ones they are."""
        series = frozenset(of_same_load(run_folders(self._out), info))
        for fate in fates(
            self._out, keep=self._options.keep, held=held, why_unverified=why_unverified,
            is_of_series=series.__contains__,
        ):  # fmt: skip
            if fate.goes and self._options.remove:
                with costing(lambda why, name=fate.folder.name: self._bad.append(f"NOT REMOVED: {name}: {why}")):  # type: ignore[misc]  # a default is bound now
                    remove_run(fate.folder)
                    _say(f"removed {fate.folder.name}: {fate.why}")
            elif fate.goes:
                _say(f"would remove {fate.folder.name}: {fate.why}; pass --remove to do so")
            elif fate.is_old:
                _say(f"kept {fate.folder.name}: {fate.why}")


def _run_soak(arguments: list[str], output: int) -> int:
    """Run the soak to its end, passing on to it what asks for the end; give its code, -n if signal n killed it.

    It gets a session of its own, so that what is typed at the terminal reaches it once, from here.
    """
    early: list[int] = []
    process: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, _: FrameType | None) -> None:
        if process is None:
            early.append(number)
        else:
            process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in stopping_signals()}
    try:
        words = [sys.executable, "-m", "soaklib.run", *arguments]
        process = subprocess.Popen(words, stdout=output, start_new_session=True)  # noqa: S603 - our own module
        for number in early:
            process.send_signal(number)
        return process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def flags() -> Flags:
    """Give the command's flags."""
    parser = Flags(
        prog="soaklib weekly",
        description="Run a soak, report, compare with the last good run, pack, verify, and see to old runs. "
        "Every other flag goes to python -m soaklib.run.",
        epilog="The exit code is that of the soak; 1 also if an endpoint got worse, or the evidence is not whole.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--keep", type=_at_least_one, default=_KEEP, metavar="N", help=f"runs of the weekly soak that stay [{_KEEP}]"
    )
    parser.add_argument("--remove", action="store_true", help="remove older ones; without it they are only named")
    parser.add_argument("--against", metavar="RUN", help="compare with this run, not with the last good one")
    return parser


def _at_least_one(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,5}", text):
        msg = f"{text!r} is no whole number from 1"
        raise argparse.ArgumentTypeError(msg)
    return int(text)
