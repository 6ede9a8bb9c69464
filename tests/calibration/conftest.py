"""The calibration study of scripts/bench, loaded as the module it is."""

import importlib.util
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench" / "calibration.py"


def load_study():
    """Load the script without running it."""
    if "calibration_study" not in sys.modules:
        spec = importlib.util.spec_from_file_location("calibration_study", SCRIPT)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
    return sys.modules["calibration_study"]


def pytest_generate_tests(metafunc):
    """Make one test of each study and of each answer of the power calculation."""
    study = load_study()
    for fixture, cases in (("study", study.STUDIES), ("agreement", study.AGREEMENTS)):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, cases, ids=[case.name for case in cases])
