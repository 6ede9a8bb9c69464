"""What scripts/setup has uv do, and pip."""

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
SCRIPTS = Path(__file__).parents[1] / "scripts"


class Checkout:
    """One with an environment whose programs only write down, in ``said``, what they are started with."""

    def __init__(self, folder):
        (folder / "scripts").mkdir()
        shutil.copy(SCRIPTS / "setup", folder / "scripts" / "setup")
        (folder / "pyproject.toml").write_text("")
        self.folder = folder
        self._said = folder / "said"
        self._tools = folder / ".venv" / "bin"
        self._tools.mkdir(parents=True)
        for name in ("python", "pip", "uv"):
            self.has(name)

    def has(self, name, then=""):
        """Put a program there; ``then`` is what it does when it has written down its words."""
        (self._tools / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"{self._said}"\n{then}\n')
        (self._tools / name).chmod(0o755)

    def lacks(self, name):
        """Take a program away."""
        (self._tools / name).unlink()

    def set_up(self, *arguments, **environment):
        """Run scripts/setup; give what its programs were started with, those that install something."""
        self._said.write_text("")
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        subprocess.run([self.folder / "scripts" / "setup", *arguments], env=kept | environment, check=True)
        return [line for line in self._said.read_text().splitlines() if " install " in line]


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


def test_who_starts_it_at_once_compiles_what_is_imported(checkout):
    """And what is set up so is set up: nothing is done again, whoever asks."""
    [install] = checkout.set_up("now")
    assert install == "uv pip install --quiet --python .venv/bin/python --editable .[all]"
    assert checkout.set_up("now") == checkout.set_up() == []


def test_who_starts_it_at_once_has_a_report_compiled_meanwhile(checkout):
    """By a process that nobody waits for, at the lowest priority; with its fellows all is compiled already."""
    told = checkout.folder / "told"
    checkout.has("python", f'case "$*" in *import_all*) nice >"{told}.part"; mv "{told}.part" "{told}";; esac')
    checkout.set_up()
    assert not told.exists()
    (checkout.folder / "pyproject.toml").write_text("# another\n")
    checkout.set_up("now")
    while not told.exists():
        os.sched_yield()
    assert told.read_text() == "19\n"


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [((), {}), (("dev",), {}), (("now",), {"PYTHONDONTWRITEBYTECODE": "1"})],
    ids=["for others", "for tests", "where nothing compiled is kept"],
)
@pytest.mark.parametrize("has_uv", [True, False], ids=["by uv", "by pip"])
def test_else_everything_is_compiled_once(checkout, arguments, environment, has_uv):
    """Another user may run it, who can keep nothing; or each process would compile anew."""
    if not has_uv:
        checkout.lacks("uv")
    install = checkout.set_up(*arguments, **environment)[-1].split()
    assert install[0] == ("uv" if has_uv else "python")
    assert ("--compile-bytecode" in install) is has_uv  # which is what pip does unasked
    assert "--no-compile" not in install
    assert ("--group" in install) is (arguments == ("dev",))


def test_uv_comes_from_where_pip_gets_its_packages(checkout):
    """And only ready made: nobody is to have a compiler of Rust."""
    checkout.lacks("uv")
    first, *_ = checkout.set_up("now")
    assert first == "python -m pip --quiet --disable-pip-version-check install --only-binary :all: uv"


class _Fresh(Checkout):
    """A checkout without an environment, and with a Python of the machine that only writes down its words, too.

    An environment that it makes has pip, unless it is told to do without.
    """

    def __init__(self, folder, *, pip):
        super().__init__(folder)
        for name in ("pip", "uv"):
            self.lacks(name)
        (self._tools / "python").rename(folder / "environment")  # what an environment begins with
        self._tools = folder / "machine"
        self._tools.mkdir()
        self._environment = folder / ".venv" / "bin"
        self.has(
            "python3",
            f"""case "$*" in
            *"import ensurepip, pip"*) exit {int(not pip)};;
            *"-m venv"*) cp "{folder}/environment" "{self._environment}/python"
                case "$*" in *--without-pip*) ;; *) cp "{folder}/environment" "{self._environment}/pip";; esac;;
            *"install --only-binary"*) [ -z "${{HAS_UV:-}}" ] || cp "{folder}/environment" "{self._environment}/uv";;
            esac""",
        )
        self.set_up = partial(super().set_up, PATH=f"{self._tools}:{os.environ['PATH']}")


@pytest.mark.parametrize("has_uv", [True, False])
def test_a_new_environment_is_made_without_pip_where_the_machine_has_it(tmp_path, has_uv):
    """It comes with the rest, by uv; where there is no uv it is put there first, and does the work."""
    checkout = _Fresh(tmp_path, pip=True)
    first, *installs = checkout.set_up("now", **{"HAS_UV": "1"} if has_uv else {})
    assert first == (
        "python3 -m pip --python .venv/bin/python --quiet --disable-pip-version-check install --only-binary :all: uv"
    )
    if has_uv:
        assert [line.split(" install ")[1] for line in installs] == [
            "--quiet --python .venv/bin/python --editable .[all] pip"
        ]
    else:
        assert [line.split(" install ")[1] for line in installs] == [
            "--upgrade pip>=25.1", "--no-compile --editable .[all] pip",
        ]  # fmt: skip
        assert "python -m ensurepip" in (tmp_path / "said").read_text().splitlines()


def test_a_new_environment_has_pip_where_the_machine_lacks_it(tmp_path):
    """Or has one that cannot work on another environment."""
    checkout = _Fresh(tmp_path, pip=False)
    uv, *_ = checkout.set_up("now")
    assert uv == "python -m pip --quiet --disable-pip-version-check install --only-binary :all: uv"


def test_pip_does_what_uv_could_not(checkout):
    checkout.has("uv", "exit 1")
    tried, newer, install = checkout.set_up("now")
    assert tried.startswith("uv ")
    assert newer.endswith("--upgrade pip>=25.1")
    assert install.startswith("python -m pip ")
    assert install.endswith("--no-compile --editable .[all]")


@pytest.mark.parametrize("setting", ["global.index-url='https://mirror.example/simple'", ":env:.no-index='1'"])
def test_pip_does_all_where_it_is_told_of_an_index(checkout, setting):
    """Which uv would not ask: it reads nothing of pip's settings."""
    checkout.lacks("uv")
    checkout.has("python", f'case "$*" in *"config list"*) echo "{setting}";; esac')
    newer, install = checkout.set_up("now")
    assert newer.endswith("--upgrade pip>=25.1")
    assert install.endswith("--no-compile --editable .[all]")
    assert not (checkout.folder / ".venv/bin/uv").exists()


def test_an_index_of_ones_own_beside_the_usual_one_keeps_nobody_from_uv(checkout):
    checkout.lacks("uv")
    checkout.has("python", "echo \"global.extra-index-url='https://more.example/simple'\"")
    assert checkout.set_up("now")[0].endswith(" uv")


def test_a_gateway_gets_an_environment_of_its_own(checkout):
    """Made by the same program, once."""
    asked = checkout.folder / "scripts" / "gateways" / "some" / "requirements.txt"
    asked.parent.mkdir(parents=True)
    asked.write_text("some==1\n")
    checkout.has("python", 'mkdir -p ".gateways/some"')
    [install] = checkout.set_up("gateways", "some")
    assert install.startswith("uv pip install --quiet --python .gateways/some/bin/python --compile-bytecode")
    assert install.endswith("--requirement scripts/gateways/some/requirements.txt")
    assert checkout.set_up("gateways", "some") == []


PROGRAMS = ("bash", "cat", "cksum", "dirname", "env", "grep", "mkdir", "nice", "sh", "sleep", "touch", "tr")


@pytest.mark.parametrize("has_flock", [True, False], ids=["by flock", "where there is none, by Python"])
def test_of_two_at_once_the_second_waits_for_the_first(checkout, has_flock):
    """And then finds all done: two that install into one environment would leave half of each."""
    machine, go, said = (checkout.folder / name for name in ("machine", "go", "said"))
    machine.mkdir()
    for name in PROGRAMS:
        (machine / name).symlink_to(shutil.which(name))
    real = {"flock": shutil.which("flock"), "python3": sys.executable} if has_flock else {"python3": sys.executable}
    for name, program in real.items():
        (machine / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"{said}"\nexec "{program}" "$@"\n')
        (machine / name).chmod(0o755)
    checkout.has("uv", f'while [ ! -e "{go}" ]; do sleep 0.01; done')
    said.write_text("")
    at_once = [checkout.folder / "scripts" / "setup"]
    asks = "flock 9" if has_flock else "fcntl.flock(9, "

    def both_have_come():
        words = said.read_text()
        return 2 in {words.count(" install "), words.count(asks)}

    with subprocess.Popen(at_once, env={"PATH": str(machine)}) as first:
        while " install " not in said.read_text():
            assert first.poll() is None
        with subprocess.Popen(at_once, env={"PATH": str(machine)}) as second:
            while not both_have_come():
                assert second.poll() is None
            go.touch()
    assert (first.returncode, second.returncode) == (0, 0)
    assert said.read_text().count(" install ") == 1
