"""``soaklib.report``: notebooks executed on a run, and its figures."""

import errno
import json
import shutil
import tempfile
from pathlib import Path

import nbformat
import papermill
import pytest
import zmq

import soaklib
from soaklib.commands import forked, kernels, report
from soaklib.commands.report import build_report, find_notebooks, main
from soaklib.errors import SettingsError, SoaklibError

pytestmark = pytest.mark.slow  # each notebook has a kernel of its own


def _notebook(folder, name, *sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[0].metadata["tags"] = ["parameters"]
    folder.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / f"{name}.ipynb")


_IMPORTS_LITTLE = (
    "import ipykernel.ipkernel, ipykernel.kernelapp, ipykernel.zmqshell; from soaklib.commands import kernel_server; "
    "kernel_server.import_all = lambda: None; kernel_server.main()"
)
"""A server of kernels without what the project's own notebooks import: notebooks of one line need none of it."""


@pytest.fixture
def run_folder(soak_hour, tmp_path, monkeypatch):
    """A run of its own whose report is its notebooks alone: ``reported`` has the paper, which takes seconds."""
    monkeypatch.setattr(forked, "_SERVER", ("-c", _IMPORTS_LITTLE))
    for part in ("made_claims", "write_page", "build_whitepaper"):
        monkeypatch.setattr(report, part, lambda *_, **__: None)
    return shutil.copytree(soak_hour, tmp_path / "r1")


@pytest.fixture(scope="module")
def reported(soak_hour, tmp_path_factory):
    """A run on which every notebook of the project was executed."""
    folder = shutil.copytree(soak_hour, tmp_path_factory.mktemp("reported") / "r1")
    told = []
    executed = build_report(folder, against=soak_hour, started=lambda *step: told.append(step))
    return folder, executed, told


def _shown(folder, name):
    """Give the Markdown that a notebook's last cell showed."""
    notebook = nbformat.read(folder / "notebooks" / f"{name}.ipynb", as_version=4)
    return notebook.cells[-1].outputs[0].data["text/markdown"].replace("\N{NARROW NO-BREAK SPACE}", " ")


def test_every_notebook_is_executed_on_the_run(reported):
    """Each numbered notebook ends without an error, with the run as its parameter."""
    folder, executed, told = reported
    names = [path.stem for path in find_notebooks()]
    assert [path.stem for path in executed] == names
    last = ["whitepaper.html", "whitepaper.pdf", names[-1]]
    beside = ["claims.json", *names[:-1], "report.html"]  # in an order that the machine's cores decide
    steps = [name for name, _, _ in told]
    assert sorted(steps[: -len(last)]) == sorted(beside)
    assert steps[-len(last) :] == last
    assert steps.index("claims.json") < steps.index("report.html")
    assert [(place, total) for _, place, total in told] == [(place, len(steps)) for place in range(len(steps))]
    assert (folder / "report.html").read_text("utf-8").startswith("<!doctype html>")
    for path in executed:
        notebook = nbformat.read(path, as_version=4)
        assert f'run_id = "{folder}"' in "\n".join(cell.source for cell in notebook.cells)
        errors = [
            output for cell in notebook.cells for output in cell.get("outputs", ()) if output.output_type == "error"
        ]
        assert errors == []


def test_conclusions_follow_from_the_numbers(reported):
    """The sentences at the end say what the rows say."""
    folder = reported[0]
    success = _shown(folder, "10-success")
    # 3,600 calls of the load less 60 allowed quota denials; 19 upstream errors and fast-fails
    assert success.startswith("**99.463 %** of 3,540 calls succeeded")
    assert "120 calls were denied; how many the gateway counted is not known" in _shown(folder, "20-denials")
    assert "no false-allow: **pass**, 60 probes sent, 60 denied, 0 let through" in _shown(folder, "20-denials")
    assert "breaker engages during chaos: **pass**, 5 upstream errors and 14 fast-fails" in _shown(
        folder, "30-breakers"
    )
    assert "openai 14 of 900" in _shown(folder, "30-breakers")
    assert "3 of 3 rotations, 0 of 3660 calls refused" in _shown(folder, "40-rotation")
    assert _shown(folder, "50-latency").startswith("Over 3,521 calls: p50 of service time 1.24 ms")
    assert "0 calls were given up" in _shown(folder, "50-latency")
    assert "The error budget was used to 17.9 %" in success  # 19 errors of 3 % of 3,540
    assert "memory of the generator, MiB: **inconclusive**. Too short to tell" in _shown(folder, "60-drift")
    assert "different" not in _shown(folder, "80-compare")  # a run and its copy
    assert _shown(folder, "90-whitepaper").endswith("Built: whitepaper.html, whitepaper.pdf.")


def test_every_sidecar_can_be_traced(reported, soak_hour):
    """The query in each sidecar, evaluated on the run, gives the frame that was drawn: rows and content."""
    from soaklib.charts.saving import frame_digest  # noqa: PLC0415 - half a second of each worker that collects it

    folder = reported[0]
    sidecars = sorted((folder / "figures").glob("*.json"))
    assert sidecars
    with soaklib.open_run(folder) as run, soaklib.open_run(soak_hour) as earlier:
        names = {"soaklib": soaklib, "run": run, "earlier": earlier, "later": run}
        for sidecar in sidecars:
            for told in json.loads(sidecar.read_text())["frames"]:
                frame = eval(told["query"], names)  # noqa: S307 - the queries of our own notebooks
                assert (frame.height, frame_digest(frame)) == (told["rows"], told["sha256"]), told["query"]


def test_every_figure_is_there_in_every_format(reported):
    """Each figure is there as PNG, SVG and PDF beside its sidecar, with a caption."""
    folder = reported[0]
    for sidecar in (folder / "figures").glob("*.json"):
        told = json.loads(sidecar.read_text())
        assert {path.suffix for path in (folder / "figures").glob(f"{sidecar.stem}.*")} == {
            ".png",
            ".svg",
            ".pdf",
            ".json",
        }
        without = {"outcome-composition", "run-comparison", "reconciliation-residuals"}  # the books of this run balance
        assert "n = " in told["caption"] or told["name"] in without, told["name"]
        assert told["run_id"] == "r1"


def test_notebooks_run_in_their_own_folder_and_leave_this_process_where_it_is(run_folder, tmp_path, monkeypatch):
    """Several at once: a kernel's folder is its own, and the folder of whoever asked for the report stays."""
    monkeypatch.setattr(kernels, "_side_by_side", lambda: 2)
    notebooks = tmp_path / "notebooks"
    code = "import os, time\ntime.sleep({})\nopen('here-{}', 'w').close()"
    _notebook(notebooks, "00-short", "run_id = None", code.format(0.1, 0))
    _notebook(notebooks, "10-long", "run_id = None", code.format(1, 1))
    before = Path.cwd()
    build_report(run_folder, notebooks=notebooks)
    assert Path.cwd() == before
    assert {path.name for path in (run_folder / "notebooks").glob("here-*")} == {"here-0", "here-1"}


def test_a_failing_cell_ends_the_report(run_folder, tmp_path, monkeypatch, capsys):
    """The first cell that fails ends the report with exit code 1; the broken notebook is kept and named."""
    monkeypatch.setattr(kernels.os, "cpu_count", lambda: 1)
    notebooks = tmp_path / "notebooks"
    _notebook(notebooks, "00-fine", "run_id = None", "1 + 1")
    _notebook(notebooks, "10-broken", "run_id = None", "1 / 0", "print('never')")
    _notebook(notebooks, "20-after", "run_id = None")
    assert main([str(run_folder), "--notebooks", str(notebooks)]) == 1
    kept = run_folder / "notebooks" / "10-broken.ipynb"
    assert f"notebook 10-broken.ipynb failed in cell 3: ZeroDivisionError: division by zero; it is kept as {kept}" in (
        capsys.readouterr().err
    )
    assert "ZeroDivisionError" in kept.read_text()
    assert "never" not in json.dumps([cell.get("outputs") for cell in nbformat.read(kept, as_version=4).cells])
    assert not (run_folder / "notebooks" / "20-after.ipynb").exists()


def test_a_kernel_that_dies_ends_the_report(run_folder, tmp_path):
    """A kernel that is killed is an error that names the notebook."""
    notebooks = tmp_path / "notebooks"
    _notebook(notebooks, "00-dies", "run_id = None", "import os; os._exit(3)")
    with pytest.raises(SoaklibError, match=r"00-dies\.ipynb did not come to its end"):
        build_report(run_folder, notebooks=notebooks)


def test_the_last_line_is_the_run_folder(run_folder, tmp_path, capsys):
    """A finished report ends with exit code 0 and the run's folder on standard output."""
    _notebook(tmp_path / "notebooks", "00-fine", "run_id = None")
    assert main([str(run_folder), "--notebooks", str(tmp_path / "notebooks")]) == 0
    assert capsys.readouterr().out == f"{run_folder.resolve()}\n"


def test_a_comparison_needs_a_second_run(run_folder, tmp_path):
    """The notebook that compares two runs is executed only when there is one to compare with."""
    notebooks = tmp_path / "notebooks"
    _notebook(notebooks, "00-fine", "run_id = None")
    _notebook(notebooks, "80-compare", "run_id = other_id = None", "assert other_id.endswith('other')")
    assert [path.stem for path in build_report(run_folder, notebooks=notebooks)] == ["00-fine"]
    other = tmp_path / "other"
    executed = build_report(run_folder, notebooks=notebooks, against=other)
    assert [path.stem for path in executed] == ["00-fine", "80-compare"]


def test_the_live_view_shows_a_run(run_folder, tmp_path):
    """The live notebook shows an ended run once: how many succeeded, its card, two figures and its last events."""
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    shutil.copy(find_notebooks()[0].parent / "live.ipynb", notebooks / "00-live.ipynb")
    (executed,) = build_report(run_folder, notebooks=notebooks)
    rate, *outputs = nbformat.read(executed, as_version=4).cells[-1].outputs
    assert rate.text == "99.46 % of 3,540 calls succeeded so far (90.62 to 100.00, whenever it is looked at)\n"
    assert ["image/png" in output.data for output in outputs] == [False, True, True, False]


def test_no_notebooks_is_told(run_folder, tmp_path, capsys):
    """A folder without notebooks is an error that says what to pass, with exit code 2."""
    with pytest.raises(SettingsError, match="pass --notebooks with a folder that has some"):
        find_notebooks(tmp_path)
    assert main([str(run_folder), "--notebooks", str(tmp_path)]) == 2
    assert "there are no notebooks in" in capsys.readouterr().err


def test_no_such_run_is_told(capsys):
    """A run that is not there is bad usage."""
    assert main(["no-such-run"]) == 2
    assert "there is no run 'no-such-run'" in capsys.readouterr().err


def test_a_file_for_the_criteria_that_cannot_be_written_is_told_before_the_notebooks(run_folder, tmp_path, capsys):
    """The folder that it names is not there: bad usage, and no notebook is executed."""
    _notebook(tmp_path / "notebooks", "00-fine", "run_id = None")
    nowhere = tmp_path / "nowhere" / "j.xml"
    assert main([str(run_folder), "--notebooks", str(tmp_path / "notebooks"), "--junit", str(nowhere)]) == 2
    assert f"--junit {nowhere} is no file that can be written" in capsys.readouterr().err
    assert not (run_folder / "notebooks").exists()


def test_a_long_tmpdir_is_no_obstacle(run_folder, tmp_path, monkeypatch):
    """Of 95 characters and more, where a kernel's sockets cannot be: they go elsewhere, and nothing is left there."""
    long = tmp_path / ("x" * 95)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    _notebook(tmp_path / "notebooks", "00-fine", "run_id = None", "1 + 1")
    assert [path.stem for path in build_report(run_folder, notebooks=tmp_path / "notebooks")] == ["00-fine"]
    assert list(long.iterdir()) == []


def test_where_no_folder_is_short_enough_tmpdir_is_named(run_folder, tmp_path, monkeypatch, capsys):
    """One sentence, and bad usage."""
    long = tmp_path / ("x" * 95)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.setattr(kernels, "_SHORT_PLACES", ())
    _notebook(tmp_path / "notebooks", "00-fine", "run_id = None")
    assert main([str(run_folder), "--notebooks", str(tmp_path / "notebooks")]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"soaklib.report: TMPDIR is {len(str(long))} bytes long, ")
    assert last.endswith(f"77 at most: set it to a shorter one ({long})")


@pytest.mark.parametrize(
    "error",
    [RuntimeError("Kernel didn't respond in 300 seconds"), zmq.ZMQError(errno.ENAMETOOLONG, "File name too long")],
)
def test_a_kernel_that_does_not_start_is_a_sentence(run_folder, tmp_path, monkeypatch, capsys, error):
    """On a machine that is too busy, or has no room for sockets."""

    def fail(source, target, *_, **__):
        shutil.copy(source, target)  # as papermill writes it before it starts the kernel
        raise error

    monkeypatch.setattr(papermill, "execute_notebook", fail)
    _notebook(tmp_path / "notebooks", "00-fine", "run_id = None")
    assert main([str(run_folder), "--notebooks", str(tmp_path / "notebooks")]) == 1
    kept = run_folder / "notebooks" / "00-fine.ipynb"
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"soaklib.report: notebook 00-fine.ipynb did not come to its end: {error}; it is kept as {kept}"


def test_an_executed_notebook_stays_until_its_successor_is_whole(run_folder, tmp_path, capsys):
    """A broken one is kept beside it; a whole one takes the place of both."""
    notebooks, executed = tmp_path / "notebooks", run_folder / "notebooks"
    _notebook(notebooks, "00-one", "run_id = None", "print('first')")
    assert main([str(run_folder), "--notebooks", str(notebooks)]) == 0
    first = (executed / "00-one.ipynb").read_bytes()
    _notebook(notebooks, "00-one", "run_id = None", "1 / 0")
    assert main([str(run_folder), "--notebooks", str(notebooks)]) == 1
    assert f"it is kept as {executed / '00-one-broken.ipynb'}" in capsys.readouterr().err
    assert (executed / "00-one.ipynb").read_bytes() == first
    assert "ZeroDivisionError" in (executed / "00-one-broken.ipynb").read_text()
    _notebook(notebooks, "00-one", "run_id = None", "print('third')")
    assert main([str(run_folder), "--notebooks", str(notebooks)]) == 0
    assert "third" in (executed / "00-one.ipynb").read_text()
    assert [path.name for path in executed.iterdir()] == ["00-one.ipynb"]
