"""The notebooks as they are committed."""

import ast
import re

import nbformat
import pytest

import soaklib
from soaklib.commands.report import find_notebooks

_LIVE = [path for path in find_notebooks()[0].parent.glob("*.ipynb") if path not in find_notebooks()]
_ALL = [*find_notebooks(), *_LIVE]
_OF_MANY = "What do AI gateways"


@pytest.fixture(params=_ALL, ids=lambda path: path.stem)
def notebook(request):
    """One of the notebooks."""
    return nbformat.read(request.param, as_version=4)


def _code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_outputs_are_stripped(notebook):
    """A committed notebook has no outputs and no execution counts."""
    assert [cell.id for cell in _code(notebook) if cell.outputs or cell.execution_count is not None] == []


def test_the_title_is_a_question(notebook):
    """A notebook begins with the question that it answers."""
    title = notebook.cells[0].source.splitlines()[0]
    assert re.fullmatch(r"# .+\?", title), title


def test_one_cell_has_the_parameters(notebook):
    """One cell is tagged, and it sets the run, or the folder of kept runs."""
    tagged = [cell for cell in _code(notebook) if "parameters" in cell.metadata.get("tags", ())]
    assert len(tagged) == 1
    wanted = "folder = None" if _OF_MANY in notebook.cells[0].source else 'run_id = "latest"'
    assert re.search(f"^{wanted}", tagged[0].source, flags=re.MULTILINE)


def test_cells_neither_define_nor_query(notebook):
    """What is worth a function or SQL is in the library, where it is tested."""
    tree = ast.parse("\n".join(cell.source for cell in _code(notebook)))
    defined = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    queries = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.search(r"\bselect\b.*\bfrom\b", node.value)
    ]
    assert (defined, queries) == ([], [])


def test_only_public_names_are_used(notebook):
    """It imports soaklib and its charts, no inner module, and takes from both what they list."""
    tree = ast.parse("\n".join(cell.source for cell in _code(notebook)))
    imported = {
        f"{node.module}.{name.name}" if isinstance(node, ast.ImportFrom) else name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    assert {name for name in imported if name.startswith("soaklib")} <= {"soaklib", "soaklib.charts"}
    used = {
        (node.value.id, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    public = {"soaklib": soaklib.__all__, "charts": soaklib.charts.__all__}
    assert [f"{owner}.{name}" for owner, name in used if owner in public and name not in public[owner]] == []
    assert [name for _, name in used if name.startswith("_")] == []


def test_the_format_is_valid(notebook):
    """A notebook is valid for its format."""
    nbformat.validate(notebook)
