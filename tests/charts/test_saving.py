"""Figures on disk, and where they came from."""

import base64
import hashlib
import json
from types import SimpleNamespace

import polars as pl
import pytest
from fontTools.subset import Subsetter
from matplotlib.figure import Figure

from soaklib import charts
from soaklib.charts.saving import frame_digest
from soaklib.errors import RunError, SettingsError

_RATE = pl.DataFrame(
    {
        "soak_s": [0.0, 300.0],
        "end_s": [300.0, 600.0],
        "n": [100, 100],
        "success_rate": [100.0, 90.0],
        "low": [96.0, 82.0],
        "high": [100.0, 95.0],
    }
)
_QUERY = "soaklib.success_rate(run, every='5m')"


@pytest.fixture
def run(tmp_path):
    """What of a run a figure needs."""
    return SimpleNamespace(folder=tmp_path, info=SimpleNamespace(run_id="20261124T120000Z-abcd"))


def _drawn(rate=_RATE):
    figure = charts.figure(85.0, 60.0)
    charts.success_rate(rate, ax=figure.subplots())
    return figure


def _saved(run, rate=_RATE, name="success-rate"):
    return charts.save(_drawn(rate), run, name, sources={_QUERY: rate}, caption="All of it.")


def test_the_sidecar_says_where_the_figure_came_from(run):
    """The sidecar has the run, the query with its rows, the size and the digests of the files beside it."""
    saved = _saved(run)
    told = json.loads(saved.sidecar.read_text())
    assert [path.name for path in saved.files] == ["success-rate.png", "success-rate.svg", "success-rate.pdf"]
    assert told["run_id"] == "20261124T120000Z-abcd"
    assert told["caption"] == "All of it."
    assert told["size_mm"] == [85.0, 60.0]
    assert told["frames"] == [
        {"query": _QUERY, "rows": 2, "columns": list(_RATE.columns), "sha256": frame_digest(_RATE)}
    ]
    assert told["files"] == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in saved.files}


def test_the_same_data_gives_the_same_bytes(run):
    """Every file of a figure drawn twice from equal frames is equal, byte for byte; from another frame it is not."""
    first, again = (_contents(_saved(run)) for _ in range(2))
    assert first == again
    other = _contents(_saved(run, _RATE.with_columns(success_rate=pl.col("success_rate") - 1)))
    assert [name for name in first if first[name] == other[name]] == []


def test_what_a_notebook_shows_is_what_is_saved_and_is_drawn_once(run, monkeypatch):
    """The PNG of a figure that was shown is that one, byte for byte; each format is drawn once."""
    figure, drawn = _drawn(), []
    savefig = type(figure).savefig

    def noting(self, *args, **how):
        drawn.append(how["format"])
        savefig(self, *args, **how)

    monkeypatch.setattr(type(figure), "savefig", noting)
    [shown] = figure._repr_mimebundle_()[0].values()
    saved = charts.save(figure, run, "success-rate", sources={"soaklib.success_rate(run)": _RATE})
    assert saved.files[0].read_bytes() == base64.b64decode(shown)
    assert drawn == ["png", "svg", "pdf"]


def test_a_figure_that_was_changed_after_it_was_shown_is_saved_as_it_is():
    """A title that somebody adds is in the file, as if the figure had not been shown before."""
    shown, fresh = _drawn(), _drawn()
    shown.png()
    for figure in (shown, fresh):
        figure.axes[0].set_title("added")
    assert shown.png() == fresh.png() != _drawn().png()


def test_a_figure_that_matplotlib_made_is_saved_too(run):
    """In all formats, with its sidecar."""
    figure = Figure()
    figure.subplots().plot([1, 2])
    saved = charts.save(figure, run, "plain", sources={"soaklib.success_rate(run)": _RATE})
    assert [path.read_bytes()[:4] for path in saved.files] == [b"\x89PNG", b"<?xm", b"%PDF"]


def test_fonts_travel_with_the_figure(run):
    """The PDF embeds its fonts as TrueType, and the SVG has outlines in place of text."""
    _, svg, pdf = _saved(run).files
    assert b"/FontFile2" in pdf.read_bytes()
    assert b"<text" not in svg.read_bytes()
    assert b"Roboto" in svg.read_bytes()


def test_a_pdf_bears_no_tables_that_shape_text(run, monkeypatch):
    """To make them smaller takes longer than all the rest, and nobody reads them; what embeds fonts is as before."""
    embedded = []
    subset_of = Subsetter.subset

    def subset(subsetter, font):
        subset_of(subsetter, font)
        embedded.append(set(font.keys()))

    monkeypatch.setattr(Subsetter, "subset", subset)
    _saved(run)
    assert embedded
    assert all("glyf" in tables and not tables & {"GDEF", "GPOS", "GSUB"} for tables in embedded)
    assert Subsetter.subset is subset


def _contents(saved):
    return {path.name: path.read_bytes() for path in (*saved.files, saved.sidecar)}


@pytest.mark.parametrize("name", ["Success", "a b", "../x", "", "a--b", "x.png"])
def test_a_name_that_is_no_file_name_is_refused(run, name):
    """Names are lower-case words with hyphens, so that they are safe as files and anchors."""
    with pytest.raises(SettingsError, match="cannot name a figure"):
        _saved(run, name=name)


def test_a_figure_without_sources_is_refused(run):
    """A figure that cannot be traced is not written."""
    with pytest.raises(SettingsError, match="cannot be traced"):
        charts.save(_drawn(), run, "success-rate", sources={})
    assert not list(run.folder.rglob("*.png"))


def test_a_folder_that_cannot_be_written_is_told(run):
    """A run folder in which figures cannot be made is an error that names it."""
    (run.folder / "figures").write_text("in the way")
    with pytest.raises(RunError, match=r"success-rate cannot be written to .*figures"):
        _saved(run)


def test_a_digest_depends_on_names_types_and_values():
    """Frames with equal content have equal digests, and any other has another."""
    assert frame_digest(_RATE) == frame_digest(_RATE.clone())
    others = [
        _RATE.rename({"n": "m"}),
        _RATE.with_columns(pl.col("n").cast(pl.Int32)),
        _RATE.with_columns(n=pl.col("n") + 1),
        _RATE.reverse(),
    ]
    assert len({frame_digest(frame) for frame in (_RATE, *others)}) == 5
