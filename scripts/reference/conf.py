"""Sphinx: the reference of soaklib's public names, from their docstrings. `scripts/docs` copies this and builds it."""

import inspect
from importlib.metadata import version as installed
from pathlib import Path

import soaklib

project = "soaklib"
version = release = installed("soaklib")
extensions = ["sphinx.ext.autodoc", "numpydoc"]
html_theme = "alabaster"
html_theme_options = {"page_width": "1100px", "sidebar_width": "250px"}
html_show_sourcelink = False
autodoc_typehints = "none"  # the sections of a docstring say what a parameter is
numpydoc_show_class_members = False


def _write_page(name, title, intro, directives):
    """Write a page with a directive for each of its names."""
    text = [title, "=" * len(title), "", intro, ""]
    for directive in directives:
        text += [f".. {directive}", ""]
    Path(__file__).with_name(f"{name}.rst").write_text("\n".join(text), "utf-8")


def _public(module, of):
    return sorted(name for name in module.__all__ if of(getattr(module, name)))


_write_page(
    "functions",
    "Functions",
    "``import soaklib``; each is loaded when it is first used.",
    [f"autofunction:: soaklib.{name}" for name in _public(soaklib, inspect.isfunction)],
)
_write_page(
    "classes",
    "Classes and errors",
    "What functions give, take and raise.",
    [f"autoclass:: soaklib.{name}\n   :members:" for name in _public(soaklib, inspect.isclass)],
)
_write_page(
    "data",
    "Data",
    "What is neither a function nor a class.",
    [f"autodata:: soaklib.{name}\n   :no-value:" for name in _public(soaklib, lambda one: isinstance(one, tuple))],
)
_write_page(
    "charts",
    "Charts",
    "``from soaklib import charts``: a frame in, an axes or a figure out.",
    [f"autofunction:: soaklib.charts.{name}" for name in _public(soaklib.charts, inspect.isfunction)]
    + [f"autoclass:: soaklib.charts.{name}" for name in _public(soaklib.charts, inspect.isclass)],
)
_write_page(
    "records",
    "The data dictionary",
    "What one row of a run means.",
    ["automodule:: soaklib.records.rows"],
)
