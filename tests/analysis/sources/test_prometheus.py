"""The Prometheus loader against a loopback server that answers like one, or does not."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import ssl
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest
import trustme
from plain_server import Quiet, serving
from polars.testing import assert_frame_equal

from soaklib.analysis.sources.prometheus import POINTS_MAX, read_prometheus
from soaklib.analysis.sources.samples import SAMPLES_SCHEMA
from soaklib.errors import SettingsError, SourceError

pytestmark = pytest.mark.usefixtures("directly")

START = dt.datetime(2026, 11, 24, 8, 0, 0, 250_000, tzinfo=dt.UTC)


def seconds(n):
    return START + dt.timedelta(seconds=n)


def matrix(*series):
    return {"status": "success", "data": {"resultType": "matrix", "result": list(series)}}


def as_prometheus(params):
    """Answer as a server whose one series has the time as its value: a point a step, both ends included."""
    start, end, step = (round(float(params[name]) * 1000) for name in ("start", "end", "step"))
    if (end - start) // step + 1 > 11_000:
        return 400, '{"status":"error","error":"exceeded maximum resolution of 11,000 points per timeseries"}'
    values = [[ms / 1000, str(ms)] for ms in range(start, end + 1, step)]
    return 200, json.dumps(matrix({"metric": {"__name__": "clock", "b": "2", "a": "1"}, "values": values}))


class Handler(Quiet):
    """One GET."""

    def do_GET(self):  # noqa: N802 - the name that http.server calls
        """Answer."""
        params = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        self.server.asked.append(params)
        self.server.headers.append(dict(self.headers))
        status, body = self.server.answer(params)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())


def prometheus_server(answer, *, tls=None):
    """Serve what `answer` makes of the parameters; what is asked is kept."""
    return serving(Handler, tls=tls, answer=answer, asked=[], headers=[])


def test_frame():
    """Every value is a row: UTC times to the millisecond, sorted labels without the name, special values."""
    values = [[1_795_000_000.25, "1e+06"], [1_795_000_010.25, "NaN"], [1_795_000_020.25, "-Inf"]]
    answer = matrix(
        {"metric": {"__name__": "a_total", "z": "1", "b": "ü"}, "values": values},
        {"metric": {}, "values": [[1_795_000_000, "0.5"]]},
    )
    with prometheus_server(lambda _: (200, json.dumps(answer))) as server:
        result = read_prometheus(server.url, "a_total", START, seconds(60), 10)
    at = [dt.datetime(2026, 11, 18, 11, 6, 40 + (n % 60 if n < 20 else 0), 250_000, tzinfo=dt.UTC) for n in (0, 10)]
    at.append(dt.datetime(2026, 11, 18, 11, 7, 0, 250_000, tzinfo=dt.UTC))
    labels = [{"key": "b", "value": "ü"}, {"key": "z", "value": "1"}]
    expected = pl.DataFrame(
        {
            "at": [*at, at[0].replace(microsecond=0)],
            "metric": ["a_total", "a_total", "a_total", ""],
            "labels": [labels, labels, labels, []],
            "value": [1e6, math.nan, -math.inf, 0.5],
        },
        schema=SAMPLES_SCHEMA,
    )
    assert_frame_equal(result, expected)


def test_what_is_asked():
    """The server is asked for exactly the range, step and query, milliseconds included."""
    with prometheus_server(as_prometheus) as server:
        read_prometheus(server.url + "/", 'rate(x{a="b"}[5m])', START, seconds(60), dt.timedelta(seconds=7.5))
    assert server.asked == [
        {"query": 'rate(x{a="b"}[5m])', "start": "1795507200.250", "end": "1795507260.250", "step": "7.500"},
    ]


@pytest.mark.parametrize("n_points", [1, 2, POINTS_MAX, POINTS_MAX + 1, 2 * POINTS_MAX, 2 * POINTS_MAX + 1])
def test_split(n_points):
    """A range of any length comes back with each point once and in order, in parts that the server accepts."""
    with prometheus_server(as_prometheus) as server:
        result = read_prometheus(server.url, "clock", START, seconds(n_points - 0.5), 1)
    start_ms = round(START.timestamp() * 1000)
    assert result["value"].to_list() == [start_ms + 1000 * n for n in range(n_points)]
    assert result["at"].dt.epoch("ms").to_list() == [start_ms + 1000 * n for n in range(n_points)]
    assert len(server.asked) == math.ceil(n_points / POINTS_MAX)


@pytest.mark.parametrize(
    ("step", "asked"),
    [(15, "15.000"), (0.5, "0.500"), ("30s", "30.000"), ("1h30m", "5400.000"), ("250ms", "0.250"), ("1d", "86400.000")],
)
def test_steps(step, asked):
    """A step is a number of seconds, a timedelta or a Prometheus duration."""
    with prometheus_server(as_prometheus) as server:
        read_prometheus(server.url, "clock", START, START, step)
    assert server.asked[0]["step"] == asked


def test_empty():
    """An answer without series is an empty frame with its types."""
    with prometheus_server(lambda _: (200, json.dumps(matrix()))) as server:
        result = read_prometheus(server.url, "absent", START, seconds(60), 1)
    assert_frame_equal(result, pl.DataFrame(schema=SAMPLES_SCHEMA))


def test_credentials():
    """User and password in the URL become basic authentication, and headers are sent as given."""
    with prometheus_server(as_prometheus) as server:
        url = server.url.replace("//", "//soak:p%40ss@")
        read_prometheus(url, "clock", START, START, 1)
        read_prometheus(server.url, "clock", START, START, 1, headers={"Authorization": "Bearer abc", "X-Scope": "t"})
    assert server.headers[0]["Authorization"] == "Basic " + base64.b64encode(b"soak:p@ss").decode()
    assert server.headers[1]["Authorization"] == "Bearer abc"
    assert server.headers[1]["X-Scope"] == "t"


def test_retries():
    """A server that is busy twice is asked a third time."""
    answers = iter([(503, "busy"), (429, "slower"), as_prometheus({"start": "1", "end": "1", "step": "1"})])
    with prometheus_server(lambda _: next(answers)) as server:
        result = read_prometheus(server.url, "clock", START, START, 1)
    assert len(server.asked) == 3
    assert result["value"].to_list() == [1000.0]


def test_tls(tmp_path):
    """A certificate is checked: against the given authority it passes, against the system's it does not."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    with prometheus_server(as_prometheus, tls=context) as server:
        url = server.url.replace("http:", "https:")
        assert len(read_prometheus(url, "clock", START, START, 1, ca_file=ca_file)) == 1
        assert len(read_prometheus(url, "clock", START, START, 1, ca_file=str(ca_file))) == 1
        with pytest.raises(SourceError, match=r"cannot be reached: .*CERTIFICATE_VERIFY_FAILED"):
            read_prometheus(url, "clock", START, START, 1, retries=0)


ERROR = '{"status":"error","errorType":"bad_data","error":"parse error: unexpected end of input"}'


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (400, ERROR, "refuses the query: .*400.*parse error: unexpected end of input"),
        (503, "overloaded", "refuses the query: .*503.*overloaded"),
        (401, "Unauthorized", "refuses the query: .*401"),
        (200, "<html>Log in</html>", "does not answer as a Prometheus server does"),
        (200, "[]", r"does not answer as a Prometheus server does: .*data\.result"),
        (200, "{}", r"does not answer as a Prometheus server does: .*data\.result"),
        (200, '{"data": {"result": [{"metric": {}}]}}', "its series are not as expected"),
        (200, '{"data": {"result": [{"metric": {}, "values": [[1, "x"]]}]}}', "its series are not as expected"),
        (200, '{"data": {"result": [{"metric": [], "values": [[1, "1"]]}]}}', "its series are not as expected"),
        (200, '{"data": {"result": [{"metric": {}, "histograms": []}]}}', "native histograms"),
    ],
)
def test_bad_answers(status, body, sentence):
    """An error and an answer that is none of Prometheus' are told apart, without the password."""
    with prometheus_server(lambda _: (status, body)) as server:
        url = server.url.replace("//", "//soak:secret@")
        with pytest.raises(SourceError, match=sentence) as caught:
            read_prometheus(url, "clock", START, START, 1, retries=1)
    assert "secret" not in str(caught.value)


def test_unreachable():
    """A server that is not there is named, without the password."""
    with prometheus_server(as_prometheus) as server:
        port = server.server_port
    with pytest.raises(SourceError, match=f"127.0.0.1:{port} cannot be reached") as caught:
        read_prometheus(f"http://soak:secret@127.0.0.1:{port}", "clock", START, START, 1, retries=0)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"start": START.replace(tzinfo=None)}, "no time zone"),
        ({"end": seconds(-1)}, "is empty"),
        ({"step": 0}, "no length of time"),
        ({"step": -1}, "no length of time"),
        ({"step": math.nan}, "no length of time"),
        ({"step": math.inf}, "no length of time"),
        ({"step": "5 minutes"}, "no length of time"),
        ({"step": ""}, "no length of time"),
        ({"url": "127.0.0.1:9090"}, "no scheme and host"),
        ({"url": "file:///etc/passwd"}, "no scheme and host"),
        ({"url": "http://[::1"}, "no scheme and host"),
    ],
)
def test_bad_arguments(change, sentence):
    """What cannot be asked is refused before anything is sent, with what to pass."""
    arguments = {"url": "http://127.0.0.1:1", "query": "x", "start": START, "end": seconds(60), "step": 1} | change
    with pytest.raises(SettingsError, match=sentence):
        read_prometheus(**arguments)


def test_missing_ca_file(tmp_path):
    """A missing file of certificates is refused."""
    with pytest.raises(SettingsError, match="there is no file"):
        read_prometheus("https://127.0.0.1:1", "x", START, START, 1, ca_file=tmp_path / "absent.pem")
