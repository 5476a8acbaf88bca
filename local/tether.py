"""Ties a program's life to its parent's, then becomes that program: `python -I -S tether.py HOW PARENT PIPE ARGV…`.

It runs by its path, before anything else, and imports nothing of ours. HOW is `signal` (Linux: the kernel sends SIGKILL
when the parent's thread ends) or `pipe` (anywhere: a watcher beside the program reads PIPE, whose other end only the
parent holds; end of file means that the parent is gone, however it went). The program keeps this process's id.
"""

from __future__ import annotations

import os
import select
import signal
import sys

PR_SET_PDEATHSIG = 1
LOOK_EVERY_S = 0.5


def main(how: str, parent: int, pipe: int, argv: list[str]) -> None:
    if how == "signal":
        import ctypes

        if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
            sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
        if os.getppid() != parent:  # it ended before the kernel was asked
            sys.exit(1)
    else:
        _watch(pipe)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and an exec would hand that on
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        sys.exit(f"{argv[0]}: {error.strerror}")


def _watch(pipe: int) -> None:
    """Forks the watcher. Its parent is the program itself, so its id cannot have become another's when it is killed."""
    program = os.getpid()
    if os.fork():
        os.close(pipe)
        return
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # whoever reads the program's output must see its end
        os.dup2(nowhere, stream)
    while os.getppid() == program:
        readable, _, _ = select.select([pipe], [], [], LOOK_EVERY_S)
        if readable and not os.read(pipe, 1):
            if os.getppid() == program:
                os.kill(program, signal.SIGKILL)
            break
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
