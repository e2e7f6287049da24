"""What systemd does for a socket unit: opens sockets, and passes them on to a program.

    socket_unit.py ADDRESS... -- PROGRAM ARGUMENT...

An ADDRESS is HOST:PORT or a path. SIGUSR1 starts the program again, after it has ended.
SIGTERM ends the program and this.
"""

import os
import signal
import socket
import sys


def listening(address: str) -> socket.socket:
    if address.startswith("/"):
        made = socket.socket(socket.AF_UNIX)
        made.bind(address)
        os.chmod(address, 0o666)
    else:
        host, port = address.rsplit(":", 1)
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, int(port)))
    made.listen(128)
    return made


def start(sockets: list[socket.socket], command: list[str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    # Out of the way of the numbers that they get.
    copies = [os.dup2(made.fileno(), 100 + i) for i, made in enumerate(sockets)]
    for i, copy in enumerate(copies):
        os.dup2(copy, 3 + i)
        os.close(copy)
    os.environ.update(LISTEN_FDS=str(len(sockets)), LISTEN_PID=str(os.getpid()))
    try:
        if os.path.exists("/usr/bin/setpriv"):
            os.execv("/usr/bin/setpriv", ["setpriv", "--pdeathsig", "KILL", "--", *command])
        os.execvp(command[0], command)
    finally:
        os._exit(127)


def main() -> int:
    split = sys.argv.index("--")
    sockets = [listening(address) for address in sys.argv[1:split]]
    command = sys.argv[split + 1 :]
    waited_for = {signal.SIGUSR1, signal.SIGTERM, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)
    pid = start(sockets, command)
    status = None
    while True:
        match signal.sigwait(waited_for):
            case signal.SIGTERM:
                if pid:
                    os.kill(pid, signal.SIGTERM)
                    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                return status or 0
            case signal.SIGUSR1 if not pid:
                pid = start(sockets, command)
            case signal.SIGCHLD if pid and os.waitpid(pid, os.WNOHANG)[0]:
                print("socket_unit: the program has ended", file=sys.stderr, flush=True)
                pid = 0


if __name__ == "__main__":
    sys.exit(main())
