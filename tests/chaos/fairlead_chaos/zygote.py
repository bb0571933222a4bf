"""A process that has imported the operator and becomes it by fork, again and again.

``python -m fairlead_chaos.zygote``; orders come as lines of JSON on stdin, what became of them
leaves on stdout. It runs no event loop and no thread, so that a fork copies nothing half done.
When stdin ends, or when it dies, so do its children. ``nursery`` is the other end.
"""

import gc
import importlib
import json
import os
import selectors
import signal
import sys
import traceback
from typing import Any, Final, NoReturn

import fairlead_operator.__main__ as operator
from fairlead_chaos.lifeline import die_with_parent

_CHUNK: Final = 65536
_MOST_FILES: Final = 4096
_BUGS: Final = "fairlead_chaos.bugs"


class Zygote:
    """Carries out orders and tells of exits."""

    def __init__(self) -> None:
        self._children: set[int] = set()
        self._unread = b""
        self._selector = selectors.DefaultSelector()
        wake_reader, wake_writer = os.pipe()
        for descriptor in (wake_reader, wake_writer):
            os.set_blocking(descriptor, False)
        self._wake_reader = wake_reader
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only its byte in the pipe is wanted
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ, self._read)
        self._selector.register(wake_reader, selectors.EVENT_READ, self._reap)

    def run(self) -> None:
        """Work until stdin ends."""
        _tell({"ready": os.getpid()})
        while True:
            for chosen, _ in self._selector.select():
                try:
                    chosen.data()
                except EOFError:
                    self._end()
                    return

    def _read(self) -> None:
        chunk = os.read(sys.stdin.fileno(), _CHUNK)
        if not chunk:
            raise EOFError
        *lines, self._unread = (self._unread + chunk).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if "signal" in order:
                self._signal(order["pid"], order["signal"])
            else:
                self._start(order)

    def _start(self, order: dict[str, Any]) -> None:
        zygote = os.getpid()
        pid = os.fork()
        if pid == 0:
            _become_operator(order, zygote)
        self._children.add(pid)
        _tell({"order": order["order"], "pid": pid})

    def _signal(self, pid: int, number: int) -> None:
        """Only of a child that isn't reaped yet is the pid known to be its own."""
        if pid in self._children:
            os.kill(pid, number)

    def _reap(self) -> None:
        while _drained(self._wake_reader):
            pass
        while self._children:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            self._children.remove(pid)
            _tell(
                {
                    "pid": pid,
                    "exit": os.waitstatus_to_exitcode(status),
                    "cpu_seconds": usage.ru_utime + usage.ru_stime,
                }
            )

    def _end(self) -> None:
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
        for pid in self._children:
            os.waitpid(pid, 0)


def _drained(descriptor: int) -> bool:
    try:
        return bool(os.read(descriptor, _CHUNK))
    except BlockingIOError:
        return False


def _tell(news: dict[str, Any]) -> None:
    os.write(sys.stdout.fileno(), json.dumps(news).encode() + b"\n")


def _become_operator(order: dict[str, Any], zygote: int) -> NoReturn:
    """Never returns: what the operator's own entry point does, in this process."""
    code = 1
    try:
        die_with_parent(zygote)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.chdir(order["folder"])
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.closerange(3, _MOST_FILES)
        os.environ.clear()
        os.environ.update(order["env"])
        if order["bug"]:
            # Never loaded by an operator as it is.
            importlib.import_module(_BUGS).plant(order["bug"])
        gc.enable()
        code = operator.main()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Keep the memory that children share free of the collector's marks."""
    die_with_parent(os.getppid())  # of one that has ended already stdin tells
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the harness's to answer
    gc.disable()
    gc.freeze()
    Zygote().run()


if __name__ == "__main__":
    main()
