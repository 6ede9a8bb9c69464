"""What every command shares as a process."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import pytest

from soaklib.analysis.load import find_run
from soaklib.command import command, find_folder
from soaklib.errors import RunError


@pytest.mark.usefixtures("hangup_is_heard")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_in_order(capsys, number):
    """With a sentence and 128 + n; what is temporary is removed, and the handlers from before are back."""
    before = signal.getsignal(number)
    made = []

    @command
    def main(_=None):
        with tempfile.TemporaryDirectory() as folder:
            made.append(Path(folder))
            os.kill(os.getpid(), number)
            signal.pause()
        return 0

    assert main() == 128 + number
    assert capsys.readouterr().err == f"soaklib: stopped by {number.name}\n"
    assert not made[0].exists()
    assert signal.getsignal(number) is before


def test_a_command_under_nohup_does_not_hear_that_the_terminal_is_closed():
    """SIGHUP that was ignored stays ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:

        @command
        def main(_=None):
            os.kill(os.getpid(), signal.SIGHUP)
            return 7

        assert main() == 7
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "out of memory; everything recorded is on disk"),
        (duckdb.OutOfMemoryException("no block"), "out of memory; everything recorded is on disk"),
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), "/data/x: No space left on device"),
        (OSError(errno.EROFS, "Read-only file system", "/data"), "/data: Read-only file system"),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found"), "No usable temporary directory found"),
    ],
)
def test_what_the_machine_lacks_is_a_sentence_and_code_4(capsys, error, sentence):
    """Memory, disk, permission."""

    @command
    def main(_=None):
        raise error

    assert main() == 4
    assert capsys.readouterr().err == f"soaklib: {sentence}\n"


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "No such file", "/x"), KeyError("a defect")])
def test_a_defect_stays_one(error):
    """It is raised as it is."""

    @command
    def main(_=None):
        raise error

    with pytest.raises(type(error)):
        main()


def test_words_that_nobody_reads_any_more_fail_nothing():
    """The reader of both streams is gone: the command goes on and gives its own code; a full disk still counts."""
    program = (
        "import sys\nfrom soaklib.command import command\n"
        "@command\ndef main(_=None):\n"
        "    sys.stdin.readline()\n"
        "    for _ in range(3):\n"
        "        print('x' * 100_000, flush=True)\n        print('y' * 100_000, file=sys.stderr)\n"
        "    return 7\n"
        "sys.exit(main())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        process.stderr.close()
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.wait(timeout=30) == 7
    with Path("/dev/full").open("w") as full:
        process = subprocess.run([sys.executable, "-c", program], input=b"\n", stdout=full, check=False)
    assert process.returncode == 4


def test_nothing_is_written_beside_the_unpacked_copy_of_a_bundle(tmp_path):
    """A bundle can be read as a run, and is refused where something is to be written."""
    (tmp_path / "soak-artifacts-x.tar.gz").touch()
    with pytest.raises(RunError, match="is a bundle, to which nothing is added: unpack it, and pass the folder"):
        find_folder(str(tmp_path / "soak-artifacts-x.tar.gz"))
    assert find_folder(str(tmp_path)) == tmp_path.resolve() == find_run(tmp_path).resolve()
