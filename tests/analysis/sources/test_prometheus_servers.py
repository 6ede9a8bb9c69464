"""What servers of Prometheus' interface do beside answering: rounding, partial answers, limits, interim answers."""

from __future__ import annotations

import base64
import datetime as dt
import json
from urllib.parse import parse_qs, urlsplit

import pytest
from plain_server import Quiet, serving

from soaklib.analysis.sources.prometheus import LONG_QUERY, read_prometheus
from soaklib.errors import PartialAnswerWarning, SettingsError, SourceError

pytestmark = pytest.mark.usefixtures("directly")

START = dt.datetime(2026, 11, 24, 8, 0, 0, 250_000, tzinfo=dt.UTC)
MINUTE = dt.timedelta(seconds=60)


def answer(params, *, rounds=False, **beside):
    """Give what a server answers: a series whose value is the time, from start to end."""
    start, end, step = (round(float(params[name]) * 1000) for name in ("start", "end", "step"))
    if rounds and (end - start) // step + 1 >= 50 and params.get("nocache") != "1":
        start, end = start - start % step, end + -end % step
    values = [[ms / 1000, str(ms)] for ms in range(start, end + 1, step)]
    data = {"resultType": "matrix", "result": [{"metric": {}, "values": values}]}
    return json.dumps({"status": "success", "data": data, **beside}).encode()


class Handler(Quiet):
    """One request by GET or POST."""

    def do_GET(self):  # noqa: N802 - the name that http.server calls
        """Answer."""
        self.respond(parse_qs(urlsplit(self.path).query))

    def do_POST(self):  # noqa: N802 - the name that http.server calls
        """Answer."""
        self.respond(parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))

    def respond(self, params):
        """Refuse a long request line, go elsewhere where asked to, say what comes first, answer."""
        params = {name: values[0] for name, values in params.items()}
        self.server.asked.append((self.command, params, dict(self.headers)))
        if len(self.path) > 8_192:
            return self.head(414)
        if self.server.moves and not self.path.startswith("/moved"):
            elsewhere = self.server.moves if isinstance(self.server.moves, str) else ""
            return self.head(307, Location=f"{elsewhere}/moved{self.path}")
        if self.server.busy and (retry_after := self.server.busy.pop()):
            return self.head(429, **{"Retry-After": retry_after, "Content-Length": 0})
        for status in self.server.interim:
            self.wfile.write(f"HTTP/1.1 {status} Early\r\nLink: </a>\r\n\r\n".encode())
        body = self.server.answer(params)
        self.head(200, **{"Content-Length": len(body)})
        return self.wfile.write(body)

    def head(self, status, **headers):
        """Send the head."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def prometheus_server(answers=answer, *, interim=(), moves=False, busy=()):
    """Serve `answers`, after interim ones, from elsewhere or when it was too busy; what is asked is kept."""
    return serving(Handler, answer=answers, interim=interim, moves=moves, busy=[*busy], asked=[])


def read(server, *, query="up", points=7, **options):
    return read_prometheus(server.url, query, START, START + dt.timedelta(seconds=points - 1), 1, **options)


def test_a_server_that_rounds_is_asked_not_to():
    """Every instant comes once, as asked for, in parts or not."""
    with prometheus_server(lambda params: answer(params, rounds=True)) as server:
        frame = read(server, points=11_100)
    expected = [START + dt.timedelta(seconds=n) for n in range(11_100)]
    assert frame["at"].to_list() == expected


def test_a_server_that_rounds_all_the_same_is_refused():
    """Other times than were asked for are no answer to the question."""
    with (
        prometheus_server(lambda params: answer(params | {"nocache": "0"}, rounds=True)) as server,
        pytest.raises(SourceError, match=r"other times than it was asked for \(2026-11-24T08:00:00\+00:00 is none"),
    ):
        read(server, points=50)


@pytest.mark.parametrize(
    ("beside", "said"),
    [
        ({"warnings": ["store a\nis gone"]}, "in part: store a is gone"),
        ({"isPartial": True}, "in part: isPartial is true"),
    ],
)
def test_a_partial_answer(beside, said):
    """It is a warning with the server's words, or an error."""
    with prometheus_server(lambda params: answer(params, **beside)) as server:
        with pytest.warns(PartialAnswerWarning, match=said):
            assert read(server).height == 7
        with pytest.raises(SourceError, match=said):
            read(server, on_partial="raise")


@pytest.mark.parametrize("mark", ['"warnings" : ["store a is gone"]', '"isPartial" :true', '"isPartial":  true'])
def test_a_partial_answer_however_it_is_spaced(mark):
    """JSON may have blanks before a colon and after it."""
    with (
        prometheus_server(lambda params: answer(params).replace(b"{", b"{" + mark.encode() + b",", 1)) as server,
        pytest.warns(PartialAnswerWarning),
    ):
        assert read(server).height == 7


@pytest.mark.filterwarnings("error")
def test_a_whole_answer():
    """An answer that says that it is whole, or has no remarks, is taken without a word."""
    with prometheus_server(lambda params: answer(params, isPartial=False, warnings=[], infos=None)) as server:
        assert read(server).height == 7


def test_remarks_on_the_query():
    """They are told, and make no answer partial."""
    with (
        prometheus_server(lambda params: answer(params, infos=["metric might not be a counter"])) as server,
        pytest.warns(UserWarning, match="remarks: metric might not be a counter"),
    ):
        assert read(server, on_partial="raise").height == 7


@pytest.mark.parametrize("word", ["info", "warning"])
def test_remarks_on_the_query_among_the_warnings(word):
    """Prometheus has them there too: what begins with PromQL is of the query, and the answer is whole."""
    said = f"PromQL {word}: metric might not be a counter"
    with (
        prometheus_server(lambda params: answer(params, warnings=[said])) as server,
        pytest.warns(UserWarning, match=f"remarks: {said}"),
    ):
        assert read(server, on_partial="raise").height == 7


@pytest.mark.parametrize(("said", "waited"), [("2", 2), ("3600", 5.0), ("soon", 0.0), ("-5", 0.0)])
def test_a_server_that_is_busy_says_when_it_is_not(monkeypatch, said, waited):
    """It is asked again then, or when the time limit is over."""
    slept = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", slept.append)
    with prometheus_server(busy=[said]) as server:
        assert read(server, timeout_s=5.0).height == 7
        assert len(server.asked) == 2
    assert sum(slept) == waited


def test_headers_that_were_given_are_not_sent_to_another_origin():
    """A token need not be called Authorization; within the origin all of them are kept."""
    given = {"X-Auth-Token": "abc", "Authorization": "Bearer abc"}
    with prometheus_server() as other, prometheus_server(moves=other.url) as server:
        read(server, headers=given)
        read(server, headers={"X-Auth-Token": "abc"})
    sent = [[headers.get(name) for name in given] for one in (server, other) for _, _, headers in one.asked]
    assert sent == [["abc", "Bearer abc"], ["abc", None], [None, None], [None, None]]
    with prometheus_server(moves=True) as server:
        read(server, headers=given)
    assert [headers.get("X-Auth-Token") for _, _, headers in server.asked] == ["abc", "abc"]


def test_a_query_is_as_long_as_its_url():
    """A character may take nine bytes there."""
    query = 'up{job="' + "\u4e2d" * 300 + '"}'
    assert len(query) < LONG_QUERY
    with prometheus_server() as server:
        read(server, query=query)
    assert [(method, params["query"]) for method, params, _ in server.asked] == [("POST", query)]


def test_a_long_query_goes_by_post():
    """A request line has its limit; a short query goes by GET, which every gateway in between lets through."""
    long = " or ".join(f'up{{job="a{number}"}}' for number in range(1_000))
    assert len(long) > 8_192 > LONG_QUERY
    with prometheus_server() as server:
        assert read(server, query=long, points=60).height == 60
        read(server)
    (method, params, _), (short_method, short_params, _) = server.asked
    assert (method, params["query"], params["step"], params["nocache"]) == ("POST", long, "1.000", "1")
    assert (short_method, short_params["query"]) == ("GET", "up")


@pytest.mark.parametrize("interim", [(103,), (100, 102, 103)])
def test_interim_answers_are_passed_over(interim):
    """The answer that counts is the one that comes after them."""
    with prometheus_server(interim=interim) as server:
        assert read(server).height == 7


@pytest.mark.parametrize("moves", [False, True])
def test_a_header_is_sent_as_it_is_given(monkeypatch, tmp_path, moves):
    """No password of ~/.netrc takes its place, nor where the server sends on; without a header it is used."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with prometheus_server(moves=moves) as server:
        read(server, headers={"authorization": "Bearer abc"})
        read(server)
    sent = [headers.get("Authorization") or headers.get("authorization") for _, _, headers in server.asked]
    basic = "Basic " + base64.b64encode(b"someone:secret").decode()
    assert sent == ["Bearer abc"] * (1 + moves) + [basic] * (1 + moves)


def test_another_word_for_partial():
    """Only two things can be done with a partial answer."""
    with pytest.raises(SettingsError, match='pass "warn" or "raise"'):
        read_prometheus("http://127.0.0.1:9", "up", START, START + MINUTE, 1, on_partial="ignore")
