"""Tests of slices of the processor: what is asked of the kernel, and what is left as it was."""

import ctypes
import os
import platform
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from soaklib.runner import timeslice

GETATTR = {"x86_64": 315, "aarch64": 275}.get(platform.machine())
LAYOUT = "IIQiIQQQ"

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or GETATTR is None, reason="it asks Linux, on two architectures"
)


def in_thread(work):
    """Do something in a thread of its own: what is asked for holds for the thread that asks."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(work).result()


def seen():
    """Give policy, nice and slice of this thread, as the kernel has them; it gives 0 for a slice before Linux 6.12."""
    told = ctypes.create_string_buffer(struct.calcsize(LAYOUT))
    assert ctypes.CDLL(None).syscall(GETATTR, 0, told, len(told), 0) == 0
    _, policy, _, nice, _, slice_ns, _, _ = struct.unpack(LAYOUT, told.raw)
    return policy, nice, slice_ns


def test_a_thread_asks_for_short_slices_and_keeps_its_policy_and_priority():
    """The share of the processor is what it was."""

    def ask():
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + 1 if before[1] < 19 else 19)
        *kept, _ = seen()
        return kept, timeslice.ask_for_short_slices(), seen()

    before = in_thread(seen)
    kept, is_taken, (*after, slice_ns) = in_thread(ask)
    assert is_taken
    assert after == kept
    assert slice_ns == (100_000 if before[2] else 0)


def test_a_thread_of_another_policy_is_left_alone():
    """Whoever starts a soak with a policy of his own has his reasons."""

    def ask():
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        before = seen()
        return timeslice.ask_for_short_slices(), seen() == before

    assert in_thread(ask) == (False, True)


@pytest.mark.parametrize(("system", "machine"), [("darwin", "x86_64"), ("linux", "riscv64")])
def test_what_has_no_such_call_is_not_asked(monkeypatch, system, machine):
    """A number of a system call means another one elsewhere."""
    monkeypatch.setattr(timeslice.sys, "platform", system)
    monkeypatch.setattr(timeslice.platform, "machine", lambda: machine)
    monkeypatch.setattr(timeslice.ctypes, "CDLL", lambda _: pytest.fail("asked"))
    assert not timeslice.ask_for_short_slices()
