"""Who owns a run: a lock that the kernel keeps, whatever its file says."""

import fcntl
import json
import os
import subprocess
import sys
import threading

import pytest

from soaklib.errors import RunError
from soaklib.store.lock import RunLock, is_owned, owned_since, owning_process

OWNER = (
    "import sys; from pathlib import Path; from soaklib.store.lock import RunLock\n"
    "with RunLock(Path(sys.argv[1])): print(flush=True); sys.stdin.read()"
)


@pytest.fixture
def owner(tmp_path):
    """Another process that owns the run."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        yield process
        process.kill()


@pytest.mark.slow
def test_the_owners_process_is_known_while_it_lives(tmp_path, owner):
    """It may be sent a signal; after it died, and of another namespace, there is none."""
    assert owning_process(tmp_path) == owner.pid
    said = json.loads((tmp_path / ".lock").read_text())
    (tmp_path / ".lock").write_text(json.dumps(said | {"pid namespace": "pid:[1]"}))
    assert owning_process(tmp_path) is None
    (tmp_path / ".lock").write_text("")
    assert owning_process(tmp_path) is None
    (tmp_path / ".lock").write_text(json.dumps(said))
    owner.kill()
    owner.wait()
    assert owning_process(tmp_path) is None


class Clock:
    """Time that passes by waiting alone; counts how often was waited."""

    def __init__(self, then=lambda: None):
        self.now_s = 0.0
        self.then = then

    def sleep(self, seconds):
        self.now_s += seconds
        self.then()

    def __call__(self):
        return self.now_s


def test_a_look_at_the_lock_keeps_no_owner_out(tmp_path):
    """Somebody asks at that very microsecond, and has gone when the owner to be tries again."""
    with RunLock(tmp_path):
        pass
    (tmp_path / ".lock").touch()
    looking = os.open(tmp_path / ".lock", os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)  # as `is_owned` does for a moment
    clock = Clock(then=lambda: fcntl.flock(looking, fcntl.LOCK_UN))
    with RunLock(tmp_path, sleep=clock.sleep, now_s=clock):
        assert is_owned(tmp_path)
    os.close(looking)
    assert clock.now_s == 0.01


def test_a_run_that_is_looked_at_all_the_time_can_be_owned(tmp_path):
    """Three threads ask again and again; none of a hundred owners is refused."""
    stop = threading.Event()

    def look():
        while not stop.is_set():
            is_owned(tmp_path)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(100):
            with RunLock(tmp_path):
                pass
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.slow
def test_an_owner_is_waited_for_and_named(tmp_path, owner):
    """A second of patience, then its process id."""
    clock = Clock()
    with pytest.raises(RunError, match=rf"is owned by a live process \(pid {owner.pid}\); wait for it"):
        RunLock(tmp_path, sleep=clock.sleep, now_s=clock).__enter__()
    assert clock.now_s == pytest.approx(1.0, abs=0.02)


@pytest.mark.slow
def test_an_owner_with_our_own_process_id_is_another(tmp_path, owner):
    """In a container that shares the folder any id may be that of this process, too."""
    assert owner.poll() is None
    lock = tmp_path / ".lock"
    words = json.loads(lock.read_text())
    lock.write_text(json.dumps(words | {"pid": str(os.getpid()), "pid namespace": "pid:[1]", "host": "c1"}))
    assert owned_since(tmp_path) == lock.stat().st_mtime
    clock = Clock()
    with pytest.raises(RunError, match=rf"a live process elsewhere \(pid {os.getpid()} on c1: another machine, or"):
        RunLock(tmp_path, sleep=clock.sleep, now_s=clock).__enter__()


def test_what_this_process_owns_itself_is_nobody_elses(tmp_path):
    """It may read its own run."""
    with RunLock(tmp_path):
        assert (is_owned(tmp_path), owned_since(tmp_path)) == (True, None)
    assert (is_owned(tmp_path), owned_since(tmp_path)) == (False, None)
    assert not (tmp_path / ".lock").exists()


@pytest.mark.slow
@pytest.mark.parametrize("words", ["", "4711\n", "[]", "{}"])
def test_an_owner_that_says_nothing_is_one_all_the_same(tmp_path, owner, words):
    """It has not written who it is yet, or is of an older version."""
    assert owner.poll() is None
    (tmp_path / ".lock").write_text(words)
    clock = Clock()
    with pytest.raises(RunError, match="is owned by a live process; wait for it or stop it first"):
        RunLock(tmp_path, sleep=clock.sleep, now_s=clock).__enter__()
    assert owned_since(tmp_path) is not None


@pytest.mark.slow
def test_the_lock_of_a_killed_owner_is_free(tmp_path, owner):
    """Although its file is still there, and names a process."""
    owner.kill()
    owner.wait()
    assert (tmp_path / ".lock").exists()
    assert not is_owned(tmp_path)
    with RunLock(tmp_path):
        assert is_owned(tmp_path)
