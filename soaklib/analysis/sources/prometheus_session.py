"""The HTTP session with a Prometheus server; imported when it is first needed, as requests is heavy.

Beside what a session of requests does, it sends the parameters of a POST in its body, passes over 1xx answers, keeps an
Authorization header that it was given, sends no header that it was given to another origin, and remembers what answers
remark of themselves.
"""

from __future__ import annotations

import http.client
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

if TYPE_CHECKING:
    from urllib3 import PoolManager

__all__ = ["PatientAdapter", "PrometheusSession", "as_given", "retrying"]

_MOST_INTERIM: Final = 16
_MOST_WORDS: Final = 300
_REMARKS: Final = re.compile(rb'"(?:(?:warnings|infos)"\s*:|isPartial"\s*:\s*true)')
_OF_THE_QUERY: Final = ("PromQL info:", "PromQL warning:")
"""How warnings begin that Prometheus gives for what is asked, and not for what it lacks."""


class _PatientResponse(http.client.HTTPResponse):
    """Passes over the interim answers that may come before the one that counts."""

    def begin(self) -> None:
        """Read the head of the answer."""
        super().begin()
        for _ in range(_MOST_INTERIM):
            if self.status >= HTTPStatus.OK or self.status == HTTPStatus.SWITCHING_PROTOCOLS:
                return
            self.headers = self.msg = None  # type: ignore[assignment]  # what says that nothing was read yet
            super().begin()


class _Connection(HTTPConnection):
    response_class = _PatientResponse


class _SecureConnection(HTTPSConnection):
    response_class = _PatientResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class PatientAdapter(HTTPAdapter):
    """Makes connections that pass over interim answers."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools."""
        super().init_poolmanager(*args, **options)
        _make_patient(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        """Make the pools behind a proxy."""
        manager = super().proxy_manager_for(*args, **options)
        _make_patient(manager)
        return manager


def _make_patient(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}


def as_given(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Leave a request's authorization as its headers have it: with no auth at all, requests looks into ~/.netrc."""
    return request


def retrying(most_s: float, **options: Any) -> Retry:
    """Give how requests are repeated: when the server says, but after `most_s` seconds at the latest."""

    class Bounded(Retry):
        RETRY_AFTER_STATUS_CODES = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})

        def parse_retry_after(self, retry_after: str) -> float:
            try:
                return min(super().parse_retry_after(retry_after), most_s)
            except InvalidHeader:
                return 0.0  # as if it said nothing

    return Bounded(**options)


class PrometheusSession(requests.Session):
    """See the module.

    Parameters
    ----------
    keeps_header
        Whether an Authorization header was given, or what becomes one.
    given
        Names of the headers that were given.

    Attributes
    ----------
    partial
        What answers say of what they lack, each once.
    infos
        What they remark on the query, each once.
    """

    def __init__(self, *, keeps_header: bool, given: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.partial: list[str] = []
        self.infos: list[str] = []
        self._keeps_header = keeps_header
        self._given = given

    def request(self, method: str, url: str, *args: Any, **options: Any) -> requests.Response:  # type: ignore[override]  # as PrometheusConnect calls it
        """Send a request."""
        if method == "POST":
            options |= {"data": options.pop("params", None)}
        response = super().request(method, url, *args, **options)
        if response.status_code == HTTPStatus.OK and _REMARKS.search(response.content):
            self._remember(response.json())
        return response

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Keep what was given within its origin, and put none of ~/.netrc in its place."""
        if self.should_strip_auth(str(response.request.url), str(prepared_request.url)):
            for name in ("Authorization", *self._given):
                prepared_request.headers.pop(name, None)
        if not self._keeps_header:
            super().rebuild_auth(prepared_request, response)

    def _remember(self, answer: Any) -> None:
        if not isinstance(answer, dict):
            return
        warned = _texts(answer.get("warnings"))
        said = [words for words in warned if not words.startswith(_OF_THE_QUERY)]
        if answer.get("isPartial") is True and not said:
            said.append("isPartial is true")
        infos = [words for words in warned if words.startswith(_OF_THE_QUERY)] + _texts(answer.get("infos"))
        for words, kept in ((said, self.partial), (infos, self.infos)):
            kept.extend(word for word in dict.fromkeys(words) if word not in kept)


def _texts(value: Any) -> list[str]:
    return [" ".join(str(one).split())[:_MOST_WORDS] for one in value] if isinstance(value, list) else []
