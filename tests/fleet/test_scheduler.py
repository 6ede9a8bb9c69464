"""A scheduler that lanes cannot be left to is refused before there is a run."""

import socket

import pytest

from soaklib.commands.run import main


def test_a_scheduler_that_does_not_answer_is_refused_before_a_folder_is_made(tmp_path, capsys):
    """It would be a run without a call, with a report of nothing."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        asked = ["--senders", "2", "--scheduler", address, "--gateway-url", "http://127.0.0.1:1", "--check"]
        assert main([*asked, "--out", str(tmp_path / "runs")]) == 3
    said = capsys.readouterr().err
    assert f"--scheduler {address} does not answer: Connection refused" in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("address", ["tcp://[::1", "tcp://127.0.0.1:70000", "tcp://127.0.0.1:0"])
def test_an_address_that_is_none_is_refused_by_its_form(tmp_path, capsys, address):
    """Whatever is wrong with it."""
    asked = ["--senders", "2", "--scheduler", address, "--gateway-url", "http://127.0.0.1:1", "--check"]
    assert main([*asked, "--out", str(tmp_path / "runs")]) == 2
    assert f"--scheduler {address}: must have the form tcp://HOST:PORT" in capsys.readouterr().err
