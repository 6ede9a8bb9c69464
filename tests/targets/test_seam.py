"""Nothing outside its own room knows one kind of gateway: its routes, its headers, its modules."""

import re
from pathlib import Path

import soaklib

ROOT = Path(soaklib.__file__).parent
ROOMS = ("gateway", "targets/fourrunr")
WORDS = re.compile(
    r"proxy-request|create-agent|generate-token|/api/|X-Admin-Token|agent_token|Policy denied|Circuit breaker is OPEN"
    r"|soaklib\.targets\.fourrunr"
)
MAY = {
    ("commands/changes.py", "X-Admin-Token"): "changes made by hand are this gateway's",
    ("commands/changes.py", "soaklib.targets.fourrunr"): "the same",
    ("analysis/sources/request_log.py", "soaklib.targets.fourrunr"): "reads this gateway's own log by its own words",
    ("evidence/secrets_scan.py", "agent_token"): "a name that a secret may bear, whoever's it is",
    ("targets/__init__.py", "soaklib.targets.fourrunr"): "the registry",
}


def test_no_other_module_names_a_route_a_header_or_a_text_of_the_4runr_gateway():
    """What does is listed with its reason, and the list holds nothing that is not there."""
    found = set()
    for path in ROOT.rglob("*.py"):
        place = path.relative_to(ROOT).as_posix()
        if not place.startswith(ROOMS):
            found |= {(place, word) for word in WORDS.findall(path.read_text("utf-8"))}
    assert found == set(MAY)
