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
            return self.head(307, Location=f"/moved{self.path}")
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


def prometheus_server(answers=answer, *, interim=(), moves=False):
    """Serve `answers`, after interim ones or from elsewhere; what is asked is kept."""
    return serving(Handler, answer=answers, interim=interim, moves=moves, asked=[])


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
