"""``soaklib merge``: the one run of a fleet, from the folders that its lanes left."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soaklib.analysis.measures.generator import missed_by_lane
from soaklib.analysis.sources.run import open_run
from soaklib.commands.flags import Flags, number_from_0
from soaklib.commands.folder import make_private
from soaklib.commands.process import command
from soaklib.errors import ExitCode, RunError, SoaklibError
from soaklib.evidence.judging import exit_code, judge_folder
from soaklib.fleet.job import JOB_NAME, LANES_FOLDER, LaneJob
from soaklib.fleet.launch import homes_of, settle_what_is_lost, settle_without_conductor
from soaklib.fleet.merge import conductor_database, merge
from soaklib.fleet.offset import IN_WORDS_KEY
from soaklib.store.lock import RunLock
from soaklib.store.tables import DATABASE_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["flags", "main"]

_IN_WORDS: Final = f"select detail from events where ends_with(event_key, ':{IN_WORDS_KEY}')"  # noqa: S608 - our own word


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    options = flags().parse_args(arguments)
    try:
        home, lanes = _find(options.folders, options.out)
        make_private(home, "--out")
        with RunLock(home):  # neither while its conductor lives, nor twice at a time
            _merge(home, lanes, frozenset(options.lost))
            with open_run(home) as run:
                for told in run.sql(_IN_WORDS)["detail"]:
                    print(f"soaklib: {told}", file=sys.stderr)
                if missed := missed_by_lane(run):
                    print(f"soaklib: {missed}", file=sys.stderr)
            code = exit_code(judge_folder(home)[0], strict=False) if options.judge else ExitCode.OK
        print(home.resolve())
    except SoaklibError as exc:
        print(f"soaklib: {exc}", file=sys.stderr)
        return exc.exit_code
    return code


def _merge(home: Path, lanes: list[Path], lost: frozenset[int]) -> None:
    """Write rows for what nobody sent, and merge."""
    if not conductor_database(home).exists() or not (home / JOB_NAME).exists():
        if (home / JOB_NAME).exists():
            print(
                f"soaklib: {home} has no file of its conductor: the run is merged without probes, changes and scrapes",
                file=sys.stderr,
            )
        lanes = settle_without_conductor(lanes, home, lost)
    else:
        elsewhere = [path for path in lanes if not path.is_relative_to(home)]
        lanes = settle_what_is_lost(home, LaneJob.read(home / JOB_NAME), lost, homes_of(elsewhere, home))
    merge(home, lanes)


def flags() -> Flags:
    """Give the command's flags."""
    parser = Flags(
        prog="soaklib merge", description="Make one run of what the lanes of a fleet left, from the files alone."
    )
    parser.add_argument(
        "folders", metavar="FOLDER", nargs="+", type=Path,
        help="the run's folder, with its lanes in it; or, where they are elsewhere, the conductor's and each lane's",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="the run's folder, where lanes alone are merged")
    parser.add_argument(
        "--lost", metavar="I", action="append", default=[], type=number_from_0,
        help="lane I's files are gone for good: its slots are missed; for each such lane once",
    )  # fmt: skip
    parser.add_argument("--no-judge", dest="judge", action="store_false", help="leave out the verdicts")
    return parser


def _find(folders: Sequence[Path], out: Path | None) -> tuple[Path, list[Path]]:
    """Give the folder of the run that is to be, and the databases of the lanes."""
    lanes: list[Path] = []
    homes: list[Path] = []
    for folder in folders:
        inside = sorted((folder / LANES_FOLDER).glob(f"*/{DATABASE_NAME}"), key=lambda path: path.parent.name)
        lanes += inside
        if (folder / JOB_NAME).exists() or inside:
            homes.append(folder)
        elif (folder / DATABASE_NAME).is_file():
            lanes.append(folder / DATABASE_NAME)
        else:
            msg = f"{folder} holds no lane: pass folders that soaklib send or soaklib run --senders left"
            raise RunError(msg)
    if len(homes) > 1 or (homes and out is not None) or not (homes or out):
        msg = "pass one run's folder, or --out FOLDER for lanes alone"
        raise RunError(msg)
    home = homes[0] if homes else out
    if home is None:  # looked at above
        msg = "pass --out FOLDER"
        raise RunError(msg)
    return home, lanes
