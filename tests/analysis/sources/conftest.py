"""What tests of sources share."""

import pytest

from soaklib.analysis.sources import prometheus


@pytest.fixture
def directly(monkeypatch):
    """Loopback is reached without a proxy, and a request to Prometheus that is repeated does not wait."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setattr(prometheus, "_BACKOFF_S", 0.0)
