"""Makes a run's evidence whole and packs it into one bundle.

Every file that is due is made anew from the run's data; the database snapshot is taken, and its rows are counted,
when the gateway's database is named; manifest and bundle come last. What cannot be had is named in the manifest with
the reason, and never keeps the bundle from being made. A file in which a secret is found is left out, and so is one
whose name no manifest can hold.

The run may be anybody's. What its row names, a database, headers, variables, a gateway, is neither read nor asked: what
the gateway said of itself the run has kept, and its database is named by whoever collects. Only of a run that was begun
here are the variables read that its headers and its plan name, so that what they hold is packed nowhere.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soaklib.errors import RecordingError, RunError, SoaklibError
from soaklib.evidence.dump import DUMP_NAME, take_snapshot
from soaklib.evidence.judging import settled
from soaklib.evidence.live_copy import copy_live_run
from soaklib.evidence.manifest import (
    MANIFESTS,
    BundleManifest,
    DatabaseSnapshot,
    SnapshotState,
    facts_of_run,
    file_entry,
    no_name_in_a_bundle,
    read_manifest,
    run_files,
    write_manifest,
)
from soaklib.evidence.parts import SEAL_PART, due_parts
from soaklib.evidence.provenance import gateway_facts, software
from soaklib.evidence.seal import SEAL_FOLDER, write_seal
from soaklib.evidence.secrets_scan import find_secrets
from soaklib.plan.named import named_secrets
from soaklib.plan.settings import ADMIN_TOKEN_VARIABLE
from soaklib.reports.metrics_analysis import METRICS_ANALYSIS_NAME, metrics_analysis
from soaklib.reports.run_report import report_name, run_report
from soaklib.safety.own_runs import is_remembered
from soaklib.safety.redaction import url_secrets
from soaklib.store.bundle import bundle_name, pack
from soaklib.store.live import is_published
from soaklib.store.lock import RunLock
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.whole import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from soaklib.analysis.sources.run import Run, RunInfo

__all__ = ["DATABASE_VARIABLE", "Wanted", "collect", "collected"]

DATABASE_VARIABLE: Final = "SOAK_DATABASE_URL"


def collect(
    folder: Path,
    *,
    parquet: bool = False,
    include_secrets: bool = False,
    database_url: str | None = None,
    prove_restore: bool = False,
    secrets: Sequence[str] = (),
) -> Path:
    """Make every file of a run's evidence that is due, and pack it.

    The same run gives the same bundle, byte for byte, as long as nothing of it changes. A run that is going on is
    packed as it is at the moment; its folder gets the bundle and nothing else. Of any other the caller holds the lock,
    or knows that nobody else writes to it.

    Parameters
    ----------
    folder
        The run's folder.
    parquet
        Whether to add every table as Parquet. Where they are already, they are made anew without being asked for.
    include_secrets
        Whether the database snapshot has the rows of the tables that hold tokens and credentials.
    database_url
        The gateway's database; None for no new snapshot: one that is there already stays.
    prove_restore
        Whether the dump of a PostgreSQL database is restored into a scratch database of the same server.
    secrets
        What may not be in the bundle either, besides the admin token, the password of the database and, of a run that
        was begun here, what its headers and its plan name: values of headers, for example. They are only looked for.

    Returns
    -------
    pathlib.Path
        The bundle, ``soak-artifacts-<run-id>.tar.gz`` in the run's folder.

    Raises
    ------
    RunError
        The folder holds no run, or the run's tables hold a secret; or it was going on, and has ended meanwhile.
    RecordingError
        The files or the bundle cannot be written.
    """
    wanted = Wanted(
        parquet=parquet, include_secrets=include_secrets, database_url=database_url, prove_restore=prove_restore,
        secrets=tuple(secrets),
    )  # fmt: skip
    return collected(folder.resolve(), wanted)[0]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the caller of :func:`collect` asked for."""

    parquet: bool
    include_secrets: bool
    database_url: str | None
    prove_restore: bool
    secrets: tuple[str, ...]

    def known_secrets(self) -> list[str]:
        """Give what is looked for as it is."""
        of_database = () if self.database_url is None else url_secrets(self.database_url)
        return [*self.secrets, os.environ.get(ADMIN_TOKEN_VARIABLE, ""), *of_database]


def collected(folder: Path, wanted: Wanted) -> tuple[Path, BundleManifest]:
    """Make the evidence as :func:`collect` does; give the bundle and its manifest."""
    with ExitStack() as stack:
        try:
            stage = _stage(folder, stack)
            with settled(stage) as run:
                manifest = _Evidence(stage, run, wanted).make()
                mtime_s = _last_moment_s(run)
            write_manifest(stage, manifest)
        except OSError as exc:
            msg = f"the evidence of {folder} cannot be written: {exc.strerror or exc}"
            raise RecordingError(msg) from exc
        bundle = folder / bundle_name(manifest.run_id)
        names = [*MANIFESTS, *(entry.path for entry in manifest.files)]
        made = stage / bundle.name  # of a run that is going on two may be made at a time
        pack(stage, names, made, top=manifest.run_id, mtime_s=mtime_s)
        if stage != folder:
            _put_in_place(made, bundle)
    return bundle, manifest


def _put_in_place(made: Path, bundle: Path) -> None:
    """Put the bundle of a run that is going on into its folder, unless it has ended: then its own is on the way.

    Raises
    ------
    RunError
        It has ended.
    RecordingError
        It cannot be put there.
    """
    if not is_published(bundle.parent):
        msg = f"the run in {bundle.parent} ended while it was packed as one that is going on: pack it again"
        raise RunError(msg)
    try:
        made.replace(bundle)
    except OSError as exc:
        msg = f"the bundle {bundle} cannot be written: {exc.strerror or exc}"
        raise RecordingError(msg) from exc


def _stage(folder: Path, stack: ExitStack) -> Path:
    """Give the folder to work in: the run's own, or a copy of a run that is going on."""
    if is_published(folder):
        stage = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".collecting-", dir=folder)))
        try:
            copy_live_run(folder, stage)
        except RunError:
            if is_published(folder):
                raise
            # its recorder was killed, and the file itself can be read; or it has ended, and the soak's last steps write
            stack.enter_context(RunLock(folder))
            return folder
        return stage
    return folder


def _last_moment_s(run: Run) -> int:
    """Give the time of the run's end or of its last event, seconds since the epoch, which every member bears."""
    at = run.info.completed_utc or run.events()["at"].max()
    return int((at if isinstance(at, dt.datetime) else run.info.anchor_utc).timestamp())


@dataclass
class _Evidence:
    """The evidence of one run in the making.

    Attributes
    ----------
    folder
        Where the run's files are, and where those go that are made.
    run
        The run.
    wanted
        What was asked for.
    failed, left_out
        File -> why it could not be made, or is not packed although it is there.
    """

    folder: Path
    run: Run
    wanted: Wanted
    failed: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def make(self) -> BundleManifest:
        """Make what is due, look for secrets in all of it, and give the manifest."""
        run, info = self.run, self.run.info
        earlier = self._earlier_manifest()
        self._write(report_name(info.run_id), lambda: run_report(run))
        self._write(METRICS_ANALYSIS_NAME, lambda: metrics_analysis(run))
        if self.wanted.parquet or (self.folder / SEAL_FOLDER).is_dir():
            self._seal()
        snapshot = self._snapshot(earlier)
        self.left_out |= {name: why for name in run_files(self.folder) if (why := no_name_in_a_bundle(name))}
        self._scan([*self.wanted.known_secrets(), *_own_secrets(info)], snapshot)
        names = [name for name in run_files(self.folder) if name not in self.left_out]
        if DUMP_NAME in self.left_out:
            detail = f"{snapshot.detail}; left out: {self.left_out[DUMP_NAME]}"
            snapshot = snapshot.model_copy(update={"state": SnapshotState.INSUFFICIENT, "detail": detail})
        left_out = {name.encode("utf-8", "backslashreplace").decode(): why for name, why in self.left_out.items()}
        return BundleManifest(
            **facts_of_run(info),
            collected_with=software(),
            gateway=gateway_facts(info, None if earlier is None else earlier.gateway),
            database_snapshot=snapshot,
            parts=due_parts(run, names, failed=self.failed, left_out=left_out, snapshot=snapshot),
            files=tuple(file_entry(self.folder, name) for name in names),
        )

    def _earlier_manifest(self) -> BundleManifest | None:
        try:
            return read_manifest(self.folder)
        except RunError:  # there was none, or it was none of ours: nothing is known from before
            return None

    def _write(self, name: str, text: Callable[[], str]) -> None:
        """Write a text that follows from the run; one that cannot be made is missing, and so is what was there."""
        try:
            content = text()
        except SoaklibError as exc:
            self.failed[name] = str(exc)
            (self.folder / name).unlink(missing_ok=True)
            return
        with whole_file(self.folder / name) as part:
            part.write_text(content, "utf-8")

    def _seal(self) -> None:
        """Write the Parquet files; where that fails there are none, since those from before may not fit any more."""
        try:
            write_seal(self.folder)
        except RecordingError as exc:
            self.failed[SEAL_PART] = str(exc)
            shutil.rmtree(self.folder / SEAL_FOLDER, ignore_errors=True)

    def _snapshot(self, earlier: BundleManifest | None) -> DatabaseSnapshot:
        """Take a snapshot of the gateway's database, or keep the one that is there."""
        kept = self._kept_snapshot(earlier)
        url = self.wanted.database_url
        if url is None:
            snapshot = kept or _no_snapshot(self.run.info)
        else:
            snapshot = take_snapshot(
                url, self.folder / DUMP_NAME, include_secrets=self.wanted.include_secrets,
                prove_restore=self.wanted.prove_restore,
            )  # fmt: skip
            if snapshot.kind is None and kept is not None:
                snapshot = kept.model_copy(update={"detail": f"{kept.detail}; a newer one was {snapshot.detail}"})
        if snapshot.kind is None and (self.folder / DUMP_NAME).exists():
            self.left_out[DUMP_NAME] = "it is not known to be a snapshot without secrets"
        return snapshot

    def _kept_snapshot(self, earlier: BundleManifest | None) -> DatabaseSnapshot | None:
        """Give what is known of the dump in the folder, if it is the one that an earlier manifest knows."""
        if earlier is None or not (self.folder / DUMP_NAME).is_file():
            return None
        is_known = file_entry(self.folder, DUMP_NAME) in earlier.files
        snapshot = earlier.database_snapshot
        return snapshot if is_known and snapshot.includes_secrets == self.wanted.include_secrets else None

    def _scan(self, known: Sequence[str], snapshot: DatabaseSnapshot) -> None:
        """Look for secrets; leave out the files that hold any.

        Raises
        ------
        RunError
            The run's own tables do, without which there is no bundle.
        """
        for name in run_files(self.folder):
            if name in self.left_out or (name == DUMP_NAME and snapshot.includes_secrets):
                continue
            findings = find_secrets(self.folder / name, name, known)
            if not findings:
                continue
            said = "; ".join(f"{finding.where} holds {finding.what}" for finding in findings)
            if name == DATABASE_NAME:
                msg = f"no bundle was made, since it would hold a secret: {said}"
                raise RunError(msg)
            self.left_out[name] = said


def _own_secrets(info: RunInfo) -> tuple[str, ...]:
    """Give what the variables hold that a run names; nothing of one begun elsewhere, which may be guessing at them."""
    if not is_remembered(info.run_id, info.settings, info.plan.model_dump_json()):
        return ()
    return named_secrets(map(str, info.settings.get("header_env") or ()), info.plan)


def _no_snapshot(info: RunInfo) -> DatabaseSnapshot:
    """Say of a run without a snapshot why there is none: the database that its row names is not opened."""
    if info.settings.get("database_url") is None:
        detail = "the run knows of no database of the gateway; pass --database-url to add one"
        return DatabaseSnapshot(state=SnapshotState.NOT_APPLICABLE, detail=detail)
    detail = f"not taken: what a run names is not opened; pass --database-url or set {DATABASE_VARIABLE}"
    return DatabaseSnapshot(state=SnapshotState.INSUFFICIENT, detail=detail)
