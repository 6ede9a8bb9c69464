"""``python -m soaklib.collect RUN``: make a run's evidence whole and pack it into one bundle."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING

from soaklib.commands.flags import Flags
from soaklib.commands.process import command, find_folder
from soaklib.errors import ExitCode, SettingsError, SoaklibError
from soaklib.evidence.collecting import DATABASE_VARIABLE, Wanted, collected
from soaklib.evidence.manifest import PartState
from soaklib.plan.given import absolute_database
from soaklib.plan.settings import header_values
from soaklib.store.live import is_published
from soaklib.store.lock import RunLock

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["flags", "main"]


def flags() -> Flags:
    """Give the command's flags."""
    parser = Flags(
        prog="soaklib collect",
        description="Make a run's evidence whole and pack it into soak-artifacts-<run-id>.tar.gz in its folder.",
    )
    parser.add_argument("run", metavar="RUN", help="folder or id of a run, or 'latest'; it may be going on")
    parser.add_argument("--parquet", action="store_true", help="add every table as Parquet (zstd)")
    parser.add_argument(
        "--include-secrets", action="store_true", help="dump the tables with tokens and credentials with their rows"
    )
    parser.add_argument(
        "--database-url", metavar="URL", default=os.environ.get(DATABASE_VARIABLE),
        help="the gateway's database, sqlite:///path or postgresql://user:password@host/name; "
        f"a password is better in {DATABASE_VARIABLE} than on a command line",
    )  # fmt: skip
    parser.add_argument(
        "--prove-restore", action="store_true",
        help="restore the dump of a PostgreSQL database into a scratch database of its server, and drop that again",
    )  # fmt: skip
    parser.add_argument(
        "--header-env", metavar="NAME=VARIABLE", action="append", default=[],
        help="a header of the run, whose value is looked for and never packed",
    )  # fmt: skip
    return parser


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    options = flags().parse_args(arguments)
    try:
        _refuse_unknown(options.database_url)
        wanted = Wanted(
            parquet=options.parquet, include_secrets=options.include_secrets, database_url=options.database_url,
            prove_restore=options.prove_restore, secrets=tuple(header_values(options.header_env).values()),
        )  # fmt: skip
        folder = find_folder(options.run)
        with nullcontext() if is_published(folder) else RunLock(folder):
            bundle, manifest = collected(folder, wanted)
    except SoaklibError as exc:
        print(f"soaklib: {exc}", file=sys.stderr)
        return exc.exit_code
    for part in manifest.parts:
        if part.state is not PartState.PRESENT:
            print(f"{part.state}: {part.name}{f' ({part.detail})' * bool(part.detail)}", file=sys.stderr)
    snapshot = manifest.database_snapshot
    print(f"database snapshot {snapshot.state}: {snapshot.detail}", file=sys.stderr)
    print(bundle)
    return ExitCode.OK


def _refuse_unknown(database_url: str | None) -> None:
    """Refuse a database's URL of a kind that is not known, before the evidence is without it."""
    try:
        if database_url is not None:
            absolute_database(database_url)
    except ValueError as exc:
        msg = f"--database-url {exc}"
        raise SettingsError(msg) from exc
