"""What somebody has who installs the wheel into an empty environment, in an empty folder, without a checkout."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def _pip(*words):
    """Have pip do something; where packages come from, whom the machine trusts does matter."""
    trusting = {name: value for name, value in os.environ.items() if (name, value) != ("SSL_CERT_FILE", os.devnull)}
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words]
    subprocess.run(command, check=True, capture_output=True, text=True, env=trusting)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    [built] = folder.glob("*.whl")
    return built


_READ_ALONE = """
import soaklib
run = soaklib.open_run("kept")
print(run.outcomes().height)
for ask in (lambda: soaklib.latency(run), lambda: run.plot, lambda: soaklib.charts):
    try:
        ask()
    except soaklib.SoaklibError as exc:
        print(exc)
"""


class Installed:
    """An environment with the wheel in it, and an empty folder to work in."""

    def __init__(self, folder, wheel, *, with_extras):
        self.folder = folder / "empty"
        self.folder.mkdir()
        venv.create(folder / "env")
        self._bin = folder / "env" / "bin"
        options = ["--no-compile", *(["--no-deps"] if with_extras else [])]  # what is imported is compiled then
        _pip("--python", str(self._bin / "python"), "install", *options, str(wheel))
        if with_extras:  # what the extras bring is here already; soaklib itself is not found by way of such a file
            [packages] = (folder / "env" / "lib").glob("python*/site-packages")
            (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def __call__(self, *words):
        """Run `soaklib` with these words."""
        keep = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        return subprocess.run(
            [str(self._bin / "soaklib"), *words], cwd=self.folder, env=keep, capture_output=True, text=True,
            check=False, timeout=300, stdin=subprocess.DEVNULL,
        )  # fmt: skip


@pytest.fixture(scope="module")
def whole(wheel, tmp_path_factory):
    return Installed(tmp_path_factory.mktemp("whole"), wheel, with_extras=True)


@pytest.fixture(scope="module")
def alone(wheel, tmp_path_factory):
    return Installed(tmp_path_factory.mktemp("alone"), wheel, with_extras=False)


def test_a_wheel_holds_notebooks_sample_schedules_and_dashboard_and_no_tests(wheel):
    """Everything that a user needs."""
    names = set(zipfile.ZipFile(wheel).namelist())
    notebooks = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {f"soaklib/shipped_files/notebooks/{name}" for name in notebooks} <= names
    assert "soaklib/shipped_files/data/sample/run.duckdb" in names
    assert "soaklib/shipped_files/data/gateways/README.md" in names
    assert "soaklib/shipped_files/scripts/grafana-dashboard.json" in names
    assert "soaklib/plan/default_plan.toml" in names
    assert not [name for name in names if name.startswith("tests/")]


def test_a_source_distribution_holds_what_its_wheel_is_made_of(tmp_path):
    """The wheel that is built from it has the same notebooks."""
    program = "import sys; from hatchling.build import build_sdist; build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    [built] = tmp_path.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "notebooks/00-run-summary.ipynb",
        "scripts/soak-weekly.timer",
        "soaklib/store/shipped.py",
        "data/gateways/README.md",
        "README.md",
    } <= names


def test_a_rehearsal_its_report_its_bundle_and_the_check_of_it(whole):
    """Some soak-hours, in a folder that was empty."""
    ran = whole("run", "--hours", "2", "--speed", "720", "--rps", "0.2")
    assert ran.returncode in {0, 1}, ran.stderr
    folder = Path(ran.stdout.splitlines()[-1])
    assert folder.parent == whole.folder / "data" / "runs"
    assert (folder / "whitepaper.html").is_file()
    for suffix in ("svg", "pdf"):
        assert len(list((folder / "figures").glob(f"*.{suffix}"))) > 10
    collected = whole("collect", "latest")
    assert collected.returncode == 0, collected.stderr
    [bundle] = folder.glob("soak-artifacts-*.tar.gz")
    verified = whole("verify", str(bundle))
    assert verified.returncode == 0, verified.stderr
    compared = whole("compare", str(folder), str(folder))
    assert compared.returncode == 0, compared.stderr  # whether noise hides that nothing changed is the machine's matter
    assert "different" not in compared.stdout
    assert "latency (median)" in compared.stdout


def test_the_sample_and_the_notebooks_are_at_hand(whole):
    """Copied into the folder; what is there already stays."""
    assert whole("sample", "kept").returncode == 0
    assert whole("notebooks", "mine", "--copy-only").returncode == 0
    (whole.folder / "mine" / "00-run-summary.ipynb").write_text("changed")
    assert whole("notebooks", "mine", "--copy-only").returncode == 0
    assert (whole.folder / "mine" / "00-run-summary.ipynb").read_text() == "changed"
    assert whole("sample", "kept").returncode == 2


def test_kept_runs_of_gateways_come_with_it(whole):
    """They are found from anywhere, as the notebook about them does."""
    python = whole.folder.parent / "env" / "bin" / "python"
    program = "import soaklib; print(*soaklib.read_digests())"
    told = subprocess.run([python, "-c", program], cwd=whole.folder, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert sorted(told.stdout.split()) == sorted(
        path.parent.name for path in (ROOT / "data/gateways").glob("*/digest.json")
    )


def test_soaklib_alone_reads_a_run_and_names_the_extra_that_is_missing(alone):
    """One sentence each, and no traceback."""
    assert alone("--version").stdout.startswith("soaklib ")
    assert alone("sample", "kept").returncode == 0
    read = subprocess.run(
        [alone._bin / "python", "-c", _READ_ALONE], cwd=alone.folder, capture_output=True, text=True, check=False
    )
    calls, *lacking = read.stdout.splitlines()
    assert int(calls) > 40_000, read.stderr
    for said, extra in zip(lacking, ("statistics", "charts,statistics", "charts"), strict=True):
        assert said.endswith(f" needs numpy, which is not installed: pip install 'soaklib[{extra}]'")
    for name, extra in (("run", "all"), ("gateway", "gateway"), ("report", "all"), ("compare", "statistics")):
        ended = alone(name, *(("kept", "kept") if name == "compare" else ("kept",) if name == "report" else ()))
        assert ended.returncode == 2, ended.stderr
        assert f"pip install 'soaklib[{extra}]'" in ended.stderr
        assert "Traceback" not in ended.stderr
