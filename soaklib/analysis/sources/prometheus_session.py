"""The HTTP session with a Prometheus server; imported when it is first needed, as requests is heavy.

Beside what a session of requests does, it sends the parameters of a POST in its body, passes over 1xx answers, keeps an
Authorization header that it was given, and remembers what answers remark of themselves.
"""

from __future__ import annotations

import http.client
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    from urllib3 import PoolManager

__all__ = ["PatientAdapter", "PrometheusSession", "as_given"]

_MOST_INTERIM: Final = 16
_MOST_WORDS: Final = 300
_PARTIAL: Final = (b'"warnings":', b'"isPartial":true', b'"isPartial": true')
_INFOS: Final = b'"infos":'


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


class PrometheusSession(requests.Session):
    """See the module.

    Attributes
    ----------
    partial
        What answers say of what they lack, each once.
    infos
        What they remark on the query, each once.
    """

    def __init__(self, *, keeps_header: bool) -> None:
        super().__init__()
        self.partial: list[str] = []
        self.infos: list[str] = []
        self._keeps_header = keeps_header

    def request(self, method: str, url: str, *args: Any, **options: Any) -> requests.Response:  # type: ignore[override]  # as PrometheusConnect calls it
        """Send a request."""
        if method == "POST":
            options |= {"data": options.pop("params", None)}
        response = super().request(method, url, *args, **options)
        if response.status_code == HTTPStatus.OK and any(mark in response.content for mark in (*_PARTIAL, _INFOS)):
            self._remember(response.json())
        return response

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Keep the header within its origin, and put none of ~/.netrc in its place."""
        if not self._keeps_header:
            super().rebuild_auth(prepared_request, response)
        elif self.should_strip_auth(str(response.request.url), str(prepared_request.url)):
            prepared_request.headers.pop("Authorization", None)

    def _remember(self, answer: Any) -> None:
        if not isinstance(answer, dict):
            return
        said = list(_texts(answer.get("warnings")))
        if answer.get("isPartial") is True and not said:
            said.append("isPartial is true")
        for words, kept in ((said, self.partial), (_texts(answer.get("infos")), self.infos)):
            kept.extend(word for word in dict.fromkeys(words) if word not in kept)


def _texts(value: Any) -> list[str]:
    return [" ".join(str(one).split())[:_MOST_WORDS] for one in value] if isinstance(value, list) else []
