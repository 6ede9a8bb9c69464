"""The cells of what gateways state and of the books, on a run that has them and on one that has none."""

from contextlib import closing
from pathlib import Path

import nbformat
import pytest
from stored_rows import outcome, written_run

from soaklib.commands.report import find_notebooks
from soaklib.plan.model import TargetTable, load_plan
from soaklib.records import Sample, Scrape
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.writer import RunWriter

SECOND = 1_000_000
CELLS = {"00-run-summary": ("stated", "of_itself"), "70-reconciliation": ("usage", "usage")}


def run_of(folder, **said):
    """Make a run of LiteLLM whose calls state something, and whose counter of money agrees."""
    folder.mkdir()
    rows = [
        outcome(n, planned_at_us=n * SECOND, sent_at_us=n * SECOND, done_at_us=n * SECOND + 1000, key_id="k", **said)
        for n in range(10, 20)
    ]
    plan = load_plan().model_copy(update={"target": TargetTable(kind="openai", is_litellm=True)})
    written_run(folder, plan=plan, rows=rows)
    labels = (("hashed_api_key", "k"), ("requested_model", rows[0].tool))
    readings = ((5 * SECOND, 0.0), (300 * SECOND, 2.5))
    with closing(RunWriter(folder / DATABASE_NAME)) as writer:
        writer.append(
            {
                "scrapes": [tuple(Scrape(at, "metrics", 200, True, 1000, 10, None)) for at, _ in readings],
                "samples": [tuple(Sample(at, "litellm_spend_metric_total", labels, n)) for at, n in readings],
            }
        )
    return folder


def cell_shows(name, folder, cell):
    """Give what a cell of a notebook made of a run, and the names of the figures that the run has then."""
    [path] = [path for path in find_notebooks() if path.stem == name]
    cells = {cell.id: cell.source for cell in nbformat.read(path, as_version=4).cells}
    names = {}
    exec(cells["parameters"], names)  # noqa: S102 - our own notebook
    names["run_id"] = str(folder)
    for id_ in ("load", cell):
        exec(cells[id_], names)  # noqa: S102 - our own notebook
    names["run"].close()
    return names[CELLS[name][1]]


@pytest.mark.parametrize("name", CELLS)
def test_a_run_that_has_them_shows_them(name, tmp_path):
    """As a figure with axes for what there is."""
    folder = run_of(tmp_path / "run", cost_usd=0.25, gateway_us=1500, remaining=7)
    figure = cell_shows(name, folder, CELLS[name][0])
    expected = ["US dollars"] if name == "70-reconciliation" else ["", "soak time (hours)"]
    assert [ax.get_xlabel() for ax in figure.axes] == expected


@pytest.mark.parametrize("name", CELLS)
def test_a_run_that_has_none_says_so_in_a_sentence(name, tmp_path, capsys):
    """And shows no empty figure."""
    assert cell_shows(name, run_of(tmp_path / "run"), CELLS[name][0]) is None
    assert capsys.readouterr().out.startswith("no answer states ")
    assert not Path(tmp_path / "run" / "figures").exists()


def test_what_nobody_knows_of_a_counter_is_not_called_nothing(tmp_path):
    """The notebook on denials says of a gateway without such a counter that it is not known what it counted."""
    names = {}
    [path] = [path for path in find_notebooks() if path.stem == "20-denials"]
    cells = {cell.id: cell.source for cell in nbformat.read(path, as_version=4).cells}
    exec(cells["parameters"], names)  # noqa: S102 - our own notebook
    names["run_id"] = str(run_of(tmp_path / "run"))
    for id_ in ("load", "chart", "conclusion"):
        source = cells[id_].replace("\nMarkdown(", "\nshown = Markdown(")
        exec(source, names)  # noqa: S102 - our own notebook
    names["run"].close()
    assert names["shown"].data.startswith("0 calls were denied; how many the gateway counted is not known.")
