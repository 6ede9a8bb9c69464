"""Debian's own cron, on a table of ours and at a time of ours, in a room of the kernel where nothing else is changed.

Needs cron, faketime and ``unshare`` (Debian packages cron, faketime and util-linux). Without them a test skips, except
where the environment has CI=true; where this user may not lay a file system over another it skips everywhere.
"""

import os
import shutil
import subprocess
import time

import pytest

_NEEDED = ("crontab", "faketime", "unshare")
_LAY_OVER = 'mount -t overlay overlay -o "lowerdir=$1:/usr/sbin" /usr/sbin'
_START = f"""
set -e
mount -t tmpfs none /run
mount -t tmpfs none /dev/shm # faketime keeps something there by its pid, which in a new room is always the same
mount -t tmpfs none /etc/cron.d
mount -t tmpfs none /var/spool/cron
mkdir /var/spool/cron/crontabs
mount --bind /dev/null /etc/crontab
{_LAY_OVER}
crontab "$2"
exec faketime -f "$3" /usr/sbin/cron -f
"""
"""No other table is seen, and the mail goes to our sendmail. Cron makes the environment of what it starts anew, so that
only cron itself lives at that time."""
_SENDMAIL = """#!/bin/sh
cat > {mail}.part && mv {mail}.part {mail}
"""


def mailed(table, *, at, folder, within_s):
    """Give the mail that cron sends when a table's line was due and what it started has ended.

    Parameters
    ----------
    table
        The text of a crontab, MAILTO among its variables.
    at
        The time that cron starts at, some seconds before the line is due; of this machine's time zone.
    folder
        An empty one, for the table and the mail.
    within_s
        A bound on all of it, in wall seconds.
    """
    lacking = [program for program in _NEEDED if shutil.which(program) is None]
    if lacking or shutil.which("cron", path="/usr/sbin:/sbin") is None:
        reason = f"no {', '.join(lacking or ['cron'])} here: install the Debian packages cron, faketime and util-linux"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    room = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "sh", "-c")
    over, mail = folder / "over", folder / "mail"
    over.mkdir()
    if subprocess.run([*room, _LAY_OVER, "sh", over], capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not lay a file system over another here, which only root may")
    (over / "sendmail").write_text(_SENDMAIL.format(mail=mail))
    (over / "sendmail").chmod(0o755)
    (folder / "table").write_text(table)
    with (folder / "said").open("wb") as said:
        cron = subprocess.Popen([*room, _START, "sh", over, folder / "table", f"@{at}"], stdout=said, stderr=said)
    try:
        until = time.monotonic() + within_s
        while not mail.exists():
            assert cron.poll() is None, (folder / "said").read_text()
            assert time.monotonic() < until, f"no mail within {within_s} s"
            time.sleep(0.2)  # cron tells nobody else that it is done
    finally:
        cron.kill()  # and with it all that is in its room
        cron.wait()
    return mail.read_text()
