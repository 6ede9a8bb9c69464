"""Weekly runs, each of a soak that is written by hand and ends as it is told to."""

import os
import shutil

import duckdb

from soaklib.commands import weekly
from soaklib.errors import RunError
from soaklib.evidence import baseline
from soaklib.evidence.checking import Problem, Verification, VerifyCode
from soaklib.store.bundle import bundle_name


class Weeks:
    """A folder of weekly runs, each of a soak that ends as it is told to."""

    def __init__(self, template, out, monkeypatch, capsys):
        self._template, self.out, self._patch, self._capsys = template, out, monkeypatch, capsys
        self.asked, self.count, self.unauthentic = [], 0, set()
        monkeypatch.setattr(weekly, "collect", self._collect)
        for module in (weekly, baseline):
            monkeypatch.setattr(module, "verify", self._verify)

    def week(
        self,
        *arguments,
        code=0,
        statements=(),
        verdict="pass",
        status="completed",
        says_folder=True,
        soaks=True,
        reports=False,
    ):
        """Run a week; give its exit code, its folder, and what it said."""
        self.count += 1
        folder = self.out / f"2026010{self.count}T060000Z-000{self.count}"

        def soak(for_soak, output):
            self.asked.append(for_soak)
            assert soaks, "no soak was to be run"
            if code in {2, 3}:
                return code
            shutil.copytree(self._template, folder)
            with duckdb.connect(str(folder / "run.duckdb")) as connection:
                changes = [
                    f"update run set run_id = '{folder.name}', status = '{status}'",
                    f"insert into verdicts values ('success rate', 99, '97', 1, 99, 99, '{verdict}', '', '')",
                    *statements,
                ]
                for statement in changes:
                    connection.execute(statement).fetchall()
            if says_folder:
                os.write(output, f"{folder}\n".encode())
            return code

        self._patch.setattr(weekly, "_run_soak", soak)
        ended = weekly.main(["--out", str(self.out), *["--no-report"] * (not reports), *arguments])
        said = self._capsys.readouterr()
        self.stdout = said.out.splitlines()
        return ended, folder, said.err

    @staticmethod
    def _collect(folder, *, database_url=None, secrets=()):
        assert (database_url, secrets) == (None, ())
        bundle = folder / bundle_name(folder.name)
        bundle.write_bytes(b"packed")
        return bundle

    def _verify(self, bundle):
        if not bundle.exists():
            raise RunError(f"there is no {bundle}")  # noqa: EM102, TRY003 - as the real one
        bad = bundle.parent.name in self.unauthentic or bundle.name in self.unauthentic
        return Verification([Problem(VerifyCode.CHANGED, "run.duckdb was changed")] if bad else [], [])
