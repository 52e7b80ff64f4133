"""What a program does with connect(), and what it sees: a line each, the same whoever looks on."""
import asyncio
import collections
import errno
import os
import select
import signal
import socket
import subprocess
import sys
import threading

what, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
here = ("127.0.0.1", port)
nobody = ("127.0.0.1", 9)
seen = collections.Counter()
held = []


def name(number):
    return errno.errorcode.get(number, "OK" if number == 0 else str(number))


def blocking(to, family=socket.AF_INET):
    s = socket.socket(family)
    held.append(s)
    try:
        s.connect(to)
        seen["OK"] += 1
    except OSError as error:
        seen[name(error.errno)] += 1


def nonblocking(to):
    s = socket.socket()
    s.setblocking(False)
    held.append(s)
    result = s.connect_ex(to)
    seen["first " + name(result)] += 1
    if result == errno.EINPROGRESS:
        select.select([], [s], [], 20)
        seen["SO_ERROR " + name(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))] += 1


def refused():
    for _ in range(count):
        blocking(nobody)


def refused_then_killed():
    refused()
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
    blocking(here)


def exhaustion():
    for _ in range(count):
        blocking(here)


def exhaustion_nonblocking():
    for _ in range(count):
        nonblocking(here)


def later():
    for _ in range(count):
        nonblocking(here)
        nonblocking(nobody)


def twice():
    for to in (here, nobody):
        s = socket.socket()
        s.setblocking(False)
        held.append(s)
        first = s.connect_ex(to)
        select.select([], [s], [], 20)
        print(name(first), [name(s.connect_ex(to)) for _ in range(3)])


def aio():
    async def one(to):
        try:
            _, writer = await asyncio.open_connection(*to)
            held.append(writer)
            seen["OK"] += 1
        except OSError as error:
            seen[name(error.errno)] += 1

    async def all_of_them():
        await asyncio.gather(*(one(to) for _ in range(count) for to in (here, nobody)))

    asyncio.run(all_of_them())


def threads():
    def work():
        for _ in range(count):
            blocking(here)
            blocking(nobody)

    all_of_them = [threading.Thread(target=work) for _ in range(8)]
    for thread in all_of_them:
        thread.start()
    for thread in all_of_them:
        thread.join()


def forks():
    for _ in range(count):
        child = os.fork()
        if child == 0:
            blocking(here)
            blocking(nobody)
            os._exit(0 if dict(seen) == {"OK": 1, "ECONNREFUSED": 1} else 1)
        seen[os.waitpid(child, 0)[1]] += 1


def idle():
    pass


def others():
    path = "\0linger-test-%d" % os.getpid()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.connect(nobody)
    print(u.getpeername())
    try:
        s.connect("/nowhere/at/all")
    except OSError as error:
        print(name(error.errno))


def six():
    blocking(("::1", 9), socket.AF_INET6)
    blocking(("::ffff:127.0.0.1", port), socket.AF_INET6)


def slow():
    """Nobody answers: a signal, a time-out of the socket's, one of Python's."""
    import time

    def handler(*_):
        raise InterruptedError

    signal.signal(signal.SIGALRM, handler)
    s = socket.socket()
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    begun = time.monotonic()
    try:
        s.connect(here)
    except InterruptedError:
        print("interrupted", 0.15 < time.monotonic() - begun < 0.9)
    s = socket.socket()
    import struct

    old = struct.pack("ll", 0, 300000)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, old)
    begun = time.monotonic()
    try:
        s.connect(here)
    except OSError as error:
        print(name(error.errno), 0.25 < time.monotonic() - begun < 0.95)
    print(struct.unpack("ll", s.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16))[0])
    s = socket.socket()
    s.settimeout(0.2)
    try:
        s.connect(here)
    except TimeoutError as error:
        print("timeout", s.connect_ex(here) == errno.EALREADY or s.gettimeout())


def signals_restarting():
    signals(restarting=True)


def signals(restarting=False):
    """Signals rain on blocking calls, which go on all the same; the kernel begins them anew or Python waits."""
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.siginterrupt(signal.SIGUSR1, not restarting)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        while True:
            try:
                os.kill(parent, signal.SIGUSR1)
            except ProcessLookupError:
                os._exit(0)
    for _ in range(count):
        blocking(here)
        blocking(nobody)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def execs():
    result = subprocess.run(["curl", "-s", "http://127.0.0.1:9/"])
    print("curl", result.returncode, flush=True)
    os.execv(sys.executable, [sys.executable, sys.argv[0], "refused", str(port), str(count)])


globals()[what]()
for key in sorted(seen, key=str):
    print(key, seen[key])
