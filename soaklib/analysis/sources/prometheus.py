"""A Prometheus server as a source of samples, through prometheus-api-client.

The client is told everything it would otherwise decide: times (its own defaults freeze when it is imported, and it
rounds what it is given to seconds), retries, time limit, certificate authority. It is imported when it is first needed.

What servers of Prometheus' interface do, and what is made of it:

==================================================== ===============================================================
a server                                             here
==================================================== ===============================================================
rounds start and end to steps (VictoriaMetrics, from is asked not to (``nocache=1``, which others ignore); if other
50 points on, so that answers can be cached)         instants come than were asked for: an error
answers in part: ``warnings`` (Thanos, Mimir,        a warning, or an error where ``on_partial="raise"``
Prometheus), ``isPartial`` (VictoriaMetrics)
remarks on the query: ``infos`` (Prometheus 3),      a warning with its words
``warnings`` that begin with ``PromQL``
refuses a long request line (414, 431)               a query of over 2,000 bytes, as a URL has them, goes by POST
has no time (429, 503) and says until when           is asked again then, or after `timeout_s`
(``Retry-After``)
sends on to another server                           headers that were given are not sent there
answers 1xx first (103 Early Hints)                  passed over, as HTTP says
has an entry in ~/.netrc                             used where neither a header nor the URL says who asks
gives native histograms                              an error that says what to query
gives at most 11,000 points a series                 asked in parts
==================================================== ===============================================================
"""

from __future__ import annotations

import datetime as dt
import math
import re
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypedDict
from urllib.parse import quote_plus, unquote, urlsplit, urlunsplit

import polars as pl

from soaklib.analysis.sources.samples import AT, SAMPLES_SCHEMA, labels_series, utc_us
from soaklib.errors import PartialAnswerWarning, SettingsError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from prometheus_api_client import PrometheusConnect

    from soaklib.analysis.sources.prometheus_session import PrometheusSession

__all__ = ["POINTS_MAX", "read_prometheus"]

POINTS_MAX: Final = 11_000
"""Points a series that a server gives for one range query; it refuses more."""

LONG_QUERY: Final = 2_000
"""Bytes of a query, as a URL has them, from which on it goes in a body: request lines of over 8 kB are refused."""

_ROUNDED_FROM: Final = 50
_RETRIED_STATUS: Final = (408, 429, 500, 502, 503, 504)
_BACKOFF_S: Final = 0.2
_DURATION: Final = re.compile(r"(?:[0-9]+(?:ms|[smhdwy]))+")
_DURATION_PART: Final = re.compile(r"([0-9]+)(ms|[smhdwy])")
_UNIT_MS: Final = {
    "ms": 1,
    "s": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "y": 31_536_000_000,
}


class _Series(TypedDict):
    """One series of a range query's answer: times in seconds, values as text."""

    metric: dict[str, str]
    values: list[tuple[float, str]]


class _Span(NamedTuple):
    """The points of a range query, milliseconds since the Unix epoch, ends included."""

    first_ms: int
    last_ms: int
    step_ms: int

    def parts(self) -> Iterator[_Span]:
        """Give the span in parts that a server gives at once."""
        n_points = (self.last_ms - self.first_ms) // self.step_ms + 1
        for start in range(0, n_points, POINTS_MAX):
            stop = min(start + POINTS_MAX, n_points)
            yield _Span(self.first_ms + start * self.step_ms, self.first_ms + (stop - 1) * self.step_ms, self.step_ms)


def read_prometheus(
    url: str,
    query: str,
    start: dt.datetime,
    end: dt.datetime,
    step: dt.timedelta | float | str,
    *,
    headers: Mapping[str, str] | None = None,
    ca_file: Path | str | None = None,
    timeout_s: float = 30.0,
    retries: int = 3,
    on_partial: Literal["warn", "raise"] = "warn",
) -> pl.DataFrame:
    """Evaluate a query at every step of a range and give the values as a samples frame.

    A range of more points than the server gives at once is asked for in parts, each a step after the last point of the
    part before, so that no point comes twice and none is missing. Both ends of a part are points, whatever the server's
    version; what became left-open with Prometheus 3 is a range inside the query, such as ``[5m]``.

    Parameters
    ----------
    url
        Base URL of the server; user and password in it become basic authentication.
    query
        PromQL that gives a vector or a scalar.
    start, end
        First and last point (the last is left out if no whole number of steps reaches it), time zone included; to the
        millisecond, as the server keeps time.
    step
        Distance of two points: a timedelta, a number of seconds, or a Prometheus duration such as ``"30s"``.
    headers
        Sent with every request to this server, such as ``{"Authorization": "Bearer ..."}``.
    ca_file
        Certificates to trust instead of the system's; certificates are always checked.
    timeout_s
        Limit of each wait for the server.
    retries
        How often a request is repeated that gets no connection, or status 408, 429, 500, 502, 503 or 504.
    on_partial
        What an answer does that its server calls partial: a :class:`~soaklib.errors.PartialAnswerWarning`, or a
        SourceError.

    Returns
    -------
    polars.DataFrame
        A samples frame (see :mod:`soaklib.analysis.sources.samples`), part by part, series by series. A series without
        a name, such as a sum's, has an empty `metric`. An empty answer is an empty frame.

    Raises
    ------
    SettingsError
        A time has no zone, `end` is before `start`, or `step` is no length of time.
    SourceError
        The server cannot be reached, refuses the query, or its answer is none of Prometheus' or has other times than
        were asked for; or it is partial and `on_partial` is ``"raise"``. The text has no secret.
    """
    if on_partial not in ("warn", "raise"):
        message = f'on_partial={on_partial!r} is neither: pass "warn" or "raise"'
        raise SettingsError(message)
    span = _Span(utc_us(start) // 1000, utc_us(end) // 1000, _milliseconds(step))
    if span.last_ms < span.first_ms:
        message = f"the range from {start.isoformat()} to {end.isoformat()} is empty: pass an end after the start"
        raise SettingsError(message)
    parts = [pl.DataFrame(schema=SAMPLES_SCHEMA)]
    with _connected(
        url,
        headers=headers,
        ca_file=ca_file,
        timeout_s=timeout_s,
        retries=retries,
        by_post=len(quote_plus(query, errors="replace")) > LONG_QUERY,
    ) as (client, session):
        for part in span.parts():
            parts.append(_frame(_ask(client, query, part)))
            _refuse_other_times(parts[-1]["at"], part)
    if session.partial and on_partial == "raise":
        message = f"the Prometheus server answers in part: {'; '.join(session.partial)}"
        raise SourceError(message)
    for said in session.partial:
        warnings.warn(f"the Prometheus server answers in part: {said}", PartialAnswerWarning, stacklevel=2)
    for said in session.infos:
        warnings.warn(f"the Prometheus server remarks: {said}", UserWarning, stacklevel=2)
    return pl.concat(parts)


def _refuse_other_times(at: pl.Series, span: _Span) -> None:
    """Refuse times of the range, or a step beside it, that are none of its points: a server that rounds gives such."""
    ms = at.dt.epoch("ms")
    is_point = ms.is_between(span.first_ms, span.last_ms) & ((ms - span.first_ms) % span.step_ms == 0)
    is_asked = is_point | ~ms.is_between(span.first_ms - span.step_ms, span.last_ms + span.step_ms)
    if not is_asked.all():
        message = (
            f"the server answers for other times than it was asked for ({at.filter(~is_asked)[0].isoformat()} is none "
            "of them): choose a start that is a multiple of the step, or ask the store behind it"
        )
        raise SourceError(message)


def _milliseconds(step: dt.timedelta | float | str) -> int:
    if isinstance(step, str):
        parts = _DURATION_PART.findall(step) if _DURATION.fullmatch(step) else []
        step_ms = sum(int(number) * _UNIT_MS[unit] for number, unit in parts)
    else:
        step_s = step.total_seconds() if isinstance(step, dt.timedelta) else float(step)
        step_ms = round(step_s * 1000) if math.isfinite(step_s) else 0
    if step_ms <= 0:
        message = f'step={step!r} is no length of time: pass a timedelta, seconds, or a duration such as "30s"'
        raise SettingsError(message)
    return step_ms


@contextmanager
def _connected(
    url: str,
    *,
    headers: Mapping[str, str] | None,
    ca_file: Path | str | None,
    timeout_s: float,
    retries: int,
    by_post: bool,
) -> Iterator[tuple[PrometheusConnect, PrometheusSession]]:
    """Give a client, and turn what goes wrong with it into errors that name the server and keep its secrets."""
    try:
        import requests  # noqa: PLC0415 - as heavy as the client that brings it
        from prometheus_api_client import PrometheusConnect  # noqa: PLC0415 - the same
        from prometheus_api_client.exceptions import PrometheusApiClientException  # noqa: PLC0415 - the same
    except ImportError as error:
        message = "reading a Prometheus server needs prometheus-api-client: install soaklib[prometheus]"
        raise SourceError(message) from error
    from soaklib.analysis.sources.prometheus_session import (  # noqa: PLC0415 - it imports requests
        PatientAdapter,
        PrometheusSession,
        as_given,
        retrying,
    )

    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:  # a bracket that is not closed
        is_url = False
    if not is_url:
        message = "the URL of the Prometheus server has no scheme and host: pass one such as http://127.0.0.1:9090"
        raise SettingsError(message)
    if ca_file is not None and not Path(ca_file).is_file():
        message = f"there is no file {ca_file}: pass a ca_file with certificates in PEM"
        raise SettingsError(message)
    shown = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
    retry = retrying(
        timeout_s,
        total=retries,
        backoff_factor=_BACKOFF_S,
        status_forcelist=_RETRIED_STATUS,
        allowed_methods=None,  # a query may be repeated by POST too
        raise_on_status=False,
    )
    has_header = any(name.lower() == "authorization" for name in headers or {})
    in_url = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    try:
        with PrometheusSession(keeps_header=has_header or in_url is not None, given=tuple(headers or {})) as session:
            session.verify = True if ca_file is None else str(ca_file)
            client = PrometheusConnect(
                url=shown,
                headers=dict(headers or {}),
                auth=in_url or (as_given if has_header else None),
                session=session,
                retry=retry,
                timeout=timeout_s,
                method="POST" if by_post else "GET",
            )
            session.mount(shown, PatientAdapter(max_retries=retry))  # in place of the client's own
            yield client, session
    except (requests.exceptions.JSONDecodeError, _AnswerError) as error:
        message = f"{shown} does not answer as a Prometheus server does: {_bounded(error)}"
        raise SourceError(message) from error
    except PrometheusApiClientException as error:
        message = f"the Prometheus server {shown} refuses the query: {_bounded(error)}"
        raise SourceError(message) from error
    except requests.exceptions.RequestException as error:
        message = f"the Prometheus server {shown} cannot be reached: {_bounded(error)}"
        raise SourceError(message) from error


class _AnswerError(Exception):
    """The JSON is none that a range query gives."""


def _ask(client: PrometheusConnect, query: str, span: _Span) -> list[_Series]:
    # The client's own times are whole seconds; what is in params goes out in their place.
    params = {name: f"{ms / 1000:.3f}" for name, ms in zip(("start", "end", "step"), span, strict=True)}
    if (span.last_ms - span.first_ms) // span.step_ms + 1 >= _ROUNDED_FROM:
        params["nocache"] = "1"
    epoch = dt.datetime.fromtimestamp(0, dt.UTC)
    try:
        series: list[_Series] = client.custom_query_range(query, epoch, epoch, params["step"], params=params)
        if any("histograms" in one for one in series):
            message = (
                "the query gives native histograms: query histogram_count(), histogram_sum() or a quantile of them"
            )
            raise SourceError(message)
    except (KeyError, TypeError) as error:
        message = f"its JSON has no data.result ({error!r})"
        raise _AnswerError(message) from error
    return series


def _frame(series: Sequence[_Series]) -> pl.DataFrame:
    try:
        names = [one["metric"].get("__name__", "") for one in series]
        labels = [tuple(sorted((k, v) for k, v in one["metric"].items() if k != "__name__")) for one in series]
        sizes = [len(one["values"]) for one in series]
        times_s = pl.Series([time_s for one in series for time_s, _ in one["values"]], dtype=pl.Float64)
        values = pl.Series([value for one in series for _, value in one["values"]], dtype=pl.String)
        codes = pl.Series(range(len(series)), dtype=pl.UInt32).repeat_by(pl.Series(sizes, dtype=pl.UInt32)).explode()
        return pl.DataFrame(
            {
                "at": ((times_s * 1000).round().cast(pl.Int64) * 1000).cast(AT),
                "metric": pl.Series(names, dtype=pl.String).gather(codes),
                "labels": labels_series(labels).gather(codes),
                "value": values.cast(pl.Float64),
            },
        )
    except (AttributeError, KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
        message = f"its series are not as expected ({error!r})"
        raise _AnswerError(message) from error


def _bounded(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
