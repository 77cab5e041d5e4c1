"""Replication: a rank's flood to a receiver over loopback, against cat, socat and rsyslog; many ranks;
the delay of a line; processor time and memory."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import logs
from flood import MIB, Place, check_room
from measure import CORES, Row, Sample, Waived, wait_for, wait_gone

FLOOD_MB = 512
RSYSLOG_MB = 32  # it is slower by far
ROUNDS = 5
MANY = {64: 4, 256: 1}  # ranks: MiB of each
LAUNCHERS = 8
READY = 30.0
SLOW = 120.0
TICK = os.sysconf("SC_CLK_TCK")


def measure(bench):
    rows = []
    for part in (one_rank, many_ranks, fan_in, latency, memory):
        try:
            rows += part(bench)
        except Waived as waived:
            rows.append(Row(f"replication, {part.__name__.replace('_', ' ')}", waived=str(waived)))
    return rows


# ---- what is measured of any of them ----

def cpu_seconds(pid):
    """Of that process alone, 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


def status_of(pid, name):
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 1024  # MiB
    return 0.0


class Watch:
    """Processor time of some processes, from now until stop(); they may end meanwhile."""

    def __init__(self, *pids):
        self.before = {pid: cpu_seconds(pid) for pid in pids}

    def add(self, pid):
        self.before[pid] = 0.0

    def seconds(self):
        return sum(cpu_seconds(pid) - before for pid, before in self.before.items())


def size_of(path):
    try:
        return path.stat().st_size
    except OSError:
        return 0


def wait_stored(paths, total, process=None):
    """Until these files have so many bytes together; None when that takes too long."""
    deadline = time.monotonic() + SLOW
    while sum(map(size_of, paths() if callable(paths) else paths)) < total:
        if time.monotonic() > deadline:
            return None
        if process is not None and process.poll() not in (None, 0):
            raise Waived(f"a command ended with {process.returncode}")
        time.sleep(0.001)
    return time.monotonic()


def first_write(times):
    return min(int(line) for line in times.read_text(encoding="utf-8").split()) / 1e9


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Figure:
    """Of one flood: MB/s until the receiver's file has it all, processor seconds for each GB."""

    def __init__(self, stored, seconds, cpu):
        self.rate = stored / seconds / 1e6
        self.cpu = cpu / (stored / 1e9)


# ---- the peers ----

def cat_flood(bench, place, megabytes):
    times, file = bench.scratch / "times", place.path / "cat"
    times.unlink(missing_ok=True)
    with open(file, "wb") as out:
        cat = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=out,
                               env=bench.environment(), start_new_session=True)
        flood = bench.start([bench.program("block_flood"), str(megabytes), times], cat.stdin)
        cat.stdin.close()
        _, _, used = os.wait4(cat.pid, 0)
        cat.returncode = 0
        flood.wait()
    end = wait_stored([file], megabytes * MIB)
    place.empty()
    return Figure(megabytes * MIB, end - first_write(times), used.ru_utime + used.ru_stime)


def socat_flood(bench, place, megabytes):
    if shutil.which("socat") is None:
        raise Waived("no socat on PATH")
    times, file, port = bench.scratch / "times", place.path / "socat", free_port()
    times.unlink(missing_ok=True)
    buffer = ["-u", "-b", "262144"]
    receiver = bench.start(["socat", *buffer, f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr",
                            f"OPEN:{file},creat,append"])
    listening(port)
    sender = subprocess.Popen(["socat", *buffer, "STDIN", f"TCP:127.0.0.1:{port}"],
                              stdin=subprocess.PIPE, env=bench.environment(),
                              start_new_session=True)
    flood = bench.start([bench.program("block_flood"), str(megabytes), times], sender.stdin)
    sender.stdin.close()
    used = 0.0
    for process in (sender, receiver):
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
        used += usage.ru_utime + usage.ru_stime
    flood.wait()
    end = wait_stored([file], megabytes * MIB)
    if end is None:
        raise Waived("socat lost bytes")
    place.empty()
    return Figure(megabytes * MIB, end - first_write(times), used)


def listening(port):
    """Without connecting, which a server for one connection would take for its client."""
    needle = f"0100007F:{port:04X} 00000000:0000 0A"
    wait_for(lambda: needle in Path("/proc/net/tcp").read_text(encoding="ascii"), READY,
             f"a listener on port {port}")


SENDER = """
global(workDirectory="{work}" maxMessageSize="64k")
module(load="imfile" mode="inotify")
template(name="raw" type="string" string="%msg%\\n")
ruleset(name="forward") {{
  action(type="omfwd" target="127.0.0.1" port="{port}" protocol="tcp" template="raw"
         queue.type="LinkedList" queue.size="100000" queue.dequeueBatchSize="1024"
         action.resumeRetryCount="-1")
}}
input(type="imfile" File="{file}" Tag="flood" ruleset="forward" freshStartTail="off")
"""

RECEIVER = """
global(workDirectory="{work}" maxMessageSize="64k")
module(load="imtcp")
template(name="raw" type="string" string="%rawmsg%\\n")
ruleset(name="store") {{
  action(type="omfile" file="{file}" template="raw" ioBufferSize="256k" flushOnTXEnd="on"
         asyncWriting="off")
}}
input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="store"
      supportOctetCountedFraming="off")
"""


class Rsyslog:
    """Two of Debian's rsyslogd, children of ours: one follows a file and forwards it, the other stores it."""

    def __init__(self, bench, place, source=None):
        self.daemon = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
        if not os.access(self.daemon, os.X_OK):
            raise Waived("no rsyslogd (Debian package rsyslog)")
        self.bench = bench
        self.source = source or place.path / "rsyslog.in"
        self.stored = place.path / "rsyslog.out"
        self.stored.touch()
        port = free_port()
        self.receiver = self.start("receiver", RECEIVER, self.stored, port)
        listening(port)
        if source is None:
            self.source.write_bytes(b"ready\n")
        self.sender = self.start("sender", SENDER, self.source, port)
        if source is None:
            wait_for(lambda: size_of(self.stored) == 6, READY, "rsyslog's first line")

    def start(self, name, config, file, port):
        work = self.bench.scratch / f"rsyslog-{name}-{time.monotonic_ns()}"
        work.mkdir()
        path = work / "conf"
        path.write_text(config.format(work=work, file=file, port=port), encoding="utf-8")
        return self.bench.start([self.daemon, "-n", "-f", path, "-i", work / "pid"])

    def flood(self, megabytes):
        times = self.bench.scratch / "times"
        times.unlink(missing_ok=True)
        watch = Watch(self.sender.pid, self.receiver.pid)
        total = size_of(self.stored) + megabytes * MIB
        with open(self.source, "ab") as file:
            subprocess.run([self.bench.program("block_flood"), str(megabytes), times], stdout=file,
                           check=True, env=self.bench.environment())
        end = wait_stored([self.stored], total)
        if end is None:
            return None
        return Figure(megabytes * MIB, end - first_write(times), watch.seconds())

    def close(self):
        for process in (self.sender, self.receiver):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


# ---- Muster ----

class Receiver:
    """A `muster relay` that stores in a directory of the place."""

    def __init__(self, bench, place, listen):
        self.bench = bench
        self.store = place.path / f"store-{time.monotonic_ns()}"
        self.options = ["--insecure"]
        if listen.startswith("tls:"):
            token = bench.scratch / "token"
            if not token.exists() and bench.seconds_of([bench.muster, "token", "--output",
                                                        token]) is None:
                raise Waived("muster token did not end")
            self.options = ["--token-file", str(token)]
        said = bench.scratch / f"relay-{time.monotonic_ns()}"
        with open(said, "wb") as log:
            self.process = subprocess.Popen(
                [bench.muster, "relay", "--listen", listen, "--store", self.store, *self.options],
                env=bench.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)

        def address():
            if self.process.poll() is not None:
                raise Waived(f"the relay ended: {said.read_text(encoding='utf-8')[:300]}")
            words = said.read_text(encoding="utf-8").partition("listens on ")[2].split()
            return words and words[0].rstrip(",")

        self.address = wait_for(address, READY, "the relay's address")

    def run_line(self, ranks, *words, runs_dir):
        return self.bench.run_line(
            ranks, *words,
            options=["--backend", "none" if ranks == 1 else "direct", "--console", "none",
                     "--runs-dir", runs_dir, "--collector", self.address, *self.options])

    def stored(self):
        return list(self.store.glob("*/ranks/*/attempt-0/stdout.log"))

    def flood(self, place, ranks, megabytes, launchers=1):
        """None when it did not end in time."""
        times = self.bench.scratch / "times"
        times.unlink(missing_ok=True)
        total = launchers * ranks * megabytes * MIB
        watch = Watch(self.process.pid)
        runs = []
        for number in range(launchers):
            line = self.run_line(ranks, self.bench.program("block_flood"), str(megabytes), times,
                                 runs_dir=place.path / f"runs-{number}")
            runs.append(self.bench.start(line))
            watch.add(runs[-1].pid)
        end = wait_stored(self.stored, total, runs[0])
        used = watch.seconds()
        gone = wait_gone([run.pid for run in runs], SLOW)
        for run in runs:
            if not gone:
                self.bench.end(run)
            elif run.wait() != 0:
                raise Waived(f"`muster run --collector` ended with {run.returncode}")
        figure = None
        if end is not None:
            figure = Figure(total, end - first_write(times), used)
        for directory in (*place.path.glob("runs-*"), *self.store.glob("*-*-*")):
            shutil.rmtree(directory, ignore_errors=True)
        return figure

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def available(bench):
    """Whether this muster can send at all."""
    done = subprocess.run([bench.muster, "relay", "--help"], capture_output=True, check=False,
                          env=bench.environment())
    if done.returncode != 0:
        raise Waived("this muster has no `relay`")


class Values:
    """Rates and processor times of arms that take turns."""

    def __init__(self):
        self.of = {}

    def note(self, name, figure):
        self.of.setdefault(name, []).append(figure)

    def rates(self, name):
        return Sample([each.rate for each in self.of[name]])

    def cpu(self, name):
        return Sample([each.cpu for each in self.of[name]])


def one_rank(bench):
    check_room("/dev/shm", 2 * FLOOD_MB)
    values = Values()
    with Place(bench, "/dev/shm") as place, Place(bench, place.path) as other:
        closing = []
        arms = {"cat": lambda: cat_flood(bench, other, FLOOD_MB)}
        arms["socat"] = lambda: socat_flood(bench, other, FLOOD_MB)
        waived = {}
        try:
            try:
                rsyslog = Rsyslog(bench, place)
                closing.append(rsyslog)
                arms["rsyslog"] = lambda: rsyslog.flood(RSYSLOG_MB)
            except Waived as why:
                waived["rsyslog"] = str(why)
            for name, listen in (("plain", "tcp:127.0.0.1:0"), ("TLS", "tls:127.0.0.1:0"),
                                 ("unix", f"unix:{bench.scratch}/collector")):
                try:
                    available(bench)
                    receiver = Receiver(bench, place, listen)
                    closing.append(receiver)
                    arms[name] = lambda receiver=receiver: receiver.flood(place, 1, FLOOD_MB)
                except Waived as why:
                    waived[name] = str(why)
            for turn in range(-1, bench.rounds_or(ROUNDS)):
                for name in list(arms):
                    try:
                        figure = arms[name]()
                        if figure is None:
                            raise Waived(f"{name} had not ended after {SLOW:.0f} s")
                    except Waived as why:
                        waived[name] = str(why)
                        del arms[name]
                        values.of.pop(name, None)
                        continue
                    if turn >= 0:
                        values.note(name, figure)
        finally:
            for each in closing:
                each.close()
    return rows_of_one_rank(values, waived)


def rows_of_one_rank(values, waived):
    rows = []
    for ours in ("plain", "TLS", "unix"):
        for peer, shown, budget in (("cat", "flood | cat > file", None),
                                    ("socat", "flood | socat, TCP, socat > file", None),
                                    ("rsyslog", "rsyslog, imfile to omfwd to imtcp", 5)):
            what = f"flood to a receiver, {ours}"
            if ours in waived or peer in waived:
                rows.append(Row(what, shown, waived=waived.get(ours) or waived.get(peer)))
                continue
            row = Row(what, shown, "MB/s", values.rates(peer), values.rates(ours))
            if budget:
                row.budget = f">= {budget} x"
                row.met = row.ratio >= budget
                row.notes.append(f"{FLOOD_MB} MiB on tmpfs, rsyslog {RSYSLOG_MB} MiB, from the first "
                                 "write until the receiver's file has all of it")
            cpu = Row(f"processor time, both sides, {ours}", shown, "s/GB", values.cpu(peer),
                      values.cpu(ours))
            if budget:
                cpu.budget = "<= 1 x"
                cpu.met = cpu.ratio <= 1
            rows += [row, cpu]
    return rows


def many_ranks(bench):
    available(bench)
    rows = []
    for ranks, megabytes in MANY.items():
        check_room("/dev/shm", 2 * ranks * megabytes)
        with Place(bench, "/dev/shm") as place:
            receiver = Receiver(bench, place, "tcp:127.0.0.1:0")
            try:
                figures = [receiver.flood(place, ranks, megabytes)
                           for _ in range(bench.rounds_or(3))]
            finally:
                receiver.close()
        if None in figures:
            raise Waived(f"{ranks} ranks had not ended after {SLOW:.0f} s")
        row = Row(f"flood of {ranks} ranks to a receiver", "", "MB/s",
                  ours=Sample([each.rate for each in figures]))
        row.notes.append(f"{megabytes} MiB each, {CORES} cores, plain TCP, "
                         f"{Sample([each.cpu for each in figures]).median:.2f} s/GB of processor time")
        rows.append(row)
    return rows


def fan_in(bench):
    """Several launchers, one receiver."""
    available(bench)
    ranks, megabytes = 8, 8
    check_room("/dev/shm", 2 * LAUNCHERS * ranks * megabytes)
    with Place(bench, "/dev/shm") as place:
        receiver = Receiver(bench, place, "tcp:127.0.0.1:0")
        try:
            figures = [receiver.flood(place, ranks, megabytes, LAUNCHERS)
                       for _ in range(bench.rounds_or(3))]
            most = status_of(receiver.process.pid, "VmHWM")
        finally:
            receiver.close()
    if None in figures:
        raise Waived(f"{LAUNCHERS} launchers had not ended after {SLOW:.0f} s")
    row = Row(f"{LAUNCHERS} launchers of {ranks} ranks, one receiver", "", "MB/s",
              ours=Sample([each.rate for each in figures]))
    row.notes.append(f"{megabytes} MiB each rank, {CORES} cores, plain TCP; the receiver's largest "
                     f"resident memory {most:.1f} MiB")
    return [row]


def memory(bench):
    available(bench)
    with Place(bench, "/dev/shm") as place:
        receiver = Receiver(bench, place, "tcp:127.0.0.1:0")
        try:
            time.sleep(0.5)
            idle = status_of(receiver.process.pid, "VmRSS")
            if receiver.flood(place, 64, 4) is None:
                raise Waived("64 ranks had not ended in time")
            loaded = status_of(receiver.process.pid, "VmHWM")
        finally:
            receiver.close()
    quiet = Row("receiver's resident memory, idle", "", "MiB", ours=Sample([idle]),
                budget="<= 12 MiB", met=idle <= 12)
    busy = Row("the same, largest, 64 ranks flooding", "", "MiB", ours=Sample([loaded]))
    return [quiet, busy]


def latency(bench):
    """From a rank's print until a follower at the receiver has the line, against rsyslog and `tail -F`."""
    available(bench)
    rounds = [one_latency(bench) for _ in range(bench.rounds_or(3))]
    rows = []
    for what, number in (("median", 50), ("99th percentile", 99)):
        peer, muster = (Sample([logs.percentile(each[name], number) for each in rounds])
                        for name in ("rsyslog", "muster"))
        rows.append(Row(f"line to a follower at the receiver, {what}", "rsyslog, tail -F", "ms",
                        peer, muster))
    rows[-1].budget = f"<= {logs.BUDGET_MS:.0f} ms"
    rows[-1].met = rows[-1].ours.median <= logs.BUDGET_MS
    rows[-1].notes.append(f"{logs.LINES} lines in each round, `muster logs --follow` on the receiver's "
                          "store; rsyslog follows the rank's stored file")
    return rows


def one_latency(bench):
    with Place(bench, bench.scratch) as place:
        receiver = Receiver(bench, place, "tcp:127.0.0.1:0")
        rsyslog = None
        readers = {}
        run = bench.start(receiver.run_line(1, sys.executable, "-c", logs.SAYS_WHEN,
                                            runs_dir=place.path / "runs"))
        try:
            local = wait_for(lambda: next(place.path.glob("runs/*/ranks/*/*/stdout.log"), None),
                             READY, "the rank's file")
            there = wait_for(lambda: next(iter(receiver.stored()), None), READY,
                             "the rank's file at the receiver")
            readers["muster"] = bench.start(
                [bench.muster, "logs", "--follow", "--stream", "stdout", there.parents[3]],
                stdout=subprocess.PIPE)
            rsyslog = Rsyslog(bench, place, local)
            readers["rsyslog"] = bench.start(["tail", "-n", "+1", "-F", rsyslog.stored],
                                             stdout=subprocess.PIPE)
            return logs.arrivals(readers)
        finally:
            for reader in readers.values():
                reader.kill()
                reader.wait()
                reader.stdout.close()
            if rsyslog:
                rsyslog.close()
            wait_gone([run.pid], 20)
            receiver.close()
            bench.end(run)
