#!/usr/bin/env python3
"""Ten thousand targets, scraped by Sextant and by Prometheus: CPU, memory, lateness, missed scrapes.

Each target is a port of its own on 127.0.0.1, answers about a hundred series whose values move, gzipped
for who accepts that, and notes when it was asked. The servers run one after the other, never both.
See README.md beside this file.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import zlib

FIRST_PORT = 20001
TARGETS_PER_PROCESS_MAX = 4000
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


# The targets.

def templates(n_series):
    """The page as bytes with a `%d` per series."""
    lines = []
    for family in range(-(-n_series // 10)):
        name = f"app_component_{family}_requests_total"
        lines.append(f"# HELP {name} Requests that component {family} has answered.\n# TYPE {name} counter\n")
        for idx in range(min(10, n_series - family * 10)):
            code, method = (200, 404, 500, 503, 204)[idx % 5], ("GET", "POST")[idx // 5]
            lines.append(f'{name}{{code="{code}",method="{method}",path="/api/v1/component/{family}"}} %d\n')
    return "".join(lines).encode()


class Target(asyncio.Protocol):
    """One connection to one target."""

    def __init__(self, arrivals, values, template):
        self.arrivals, self.values, self.template = arrivals, values, template
        self.received = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.received += data
        if not self.received.endswith(b"\r\n\r\n"):
            return
        request, self.received = self.received.lower(), b""
        self.arrivals.append(time.monotonic())
        for idx in range(0, len(self.values), 3):
            self.values[idx] += random.randrange(50)
        body = self.template % tuple(self.values)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n"
        if b"gzip" in request:
            packer = zlib.compressobj(1, zlib.DEFLATED, 31)
            body = packer.compress(body) + packer.flush()
            head += b"content-encoding: gzip\r\n"
        self.transport.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        if b"connection: close" in request:
            self.transport.close()


def serve_targets(first, n_targets, n_series, report_to):
    """Serves until SIGTERM, then writes when each target was asked."""
    raise_open_files()
    template = templates(n_series)
    arrivals = [[] for _ in range(n_targets)]

    async def run():
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stopped.set)
        for idx in range(n_targets):
            values = [random.randrange(1_000_000) for _ in range(n_series)]
            make = lambda own=arrivals[idx], values=values: Target(own, values, template)
            await loop.create_server(make, "127.0.0.1", first + idx, backlog=16)
        print("ready", flush=True)
        await stopped.wait()

    asyncio.run(run())
    with open(report_to, "w") as out:
        json.dump(arrivals, out)


def raise_open_files():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# The servers.

def write_config(folder, options):
    targets = [f"127.0.0.1:{FIRST_PORT + idx}" for idx in range(options.targets)]
    with open(f"{folder}/targets.json", "w") as out:
        json.dump([{"targets": targets, "labels": {"env": "scale"}}], out)
    with open(f"{folder}/prometheus.yml", "w") as out:
        out.write(f"global: {{scrape_interval: {options.interval}s, scrape_timeout: {options.interval}s}}\n"
                  "scrape_configs:\n- job_name: scale\n"
                  f"  file_sd_configs: [{{files: [{folder}/targets.json]}}]\n")


def figures(pid):
    """CPU seconds so far, resident bytes, the most there were, threads, open files."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(") ", 1)[1].split()
    with open(f"/proc/{pid}/status") as status:
        peak_kib = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return {
        "cpu_s": (int(fields[11]) + int(fields[12])) / TICKS_PER_S,
        "resident": int(fields[21]) * PAGE_BYTES,
        "peak": peak_kib * 1024,
        "threads": int(fields[17]),
        "files": len(os.listdir(f"/proc/{pid}/fd")),
    }


def ask(port, expr):
    query = urllib.parse.urlencode({"query": expr})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{query}", timeout=60) as answer:
        result = json.load(answer)["data"]["result"]
    return float(result[0]["value"][1]) if result else 0.0


def measure(name, command, folder, options):
    """One server against fresh targets."""
    exporters, reports = [], []
    for first in range(0, options.targets, TARGETS_PER_PROCESS_MAX):
        n_targets = min(TARGETS_PER_PROCESS_MAX, options.targets - first)
        reports.append(f"{folder}/arrivals-{first}.json")
        arguments = [FIRST_PORT + first, n_targets, options.series, reports[-1]]
        exporters.append(subprocess.Popen([sys.executable, __file__, "--serve", *map(str, arguments)],
                                          stdout=subprocess.PIPE))
    try:
        for exporter in exporters:
            exporter.stdout.readline()
        with open(f"{folder}/{name}.log", "w") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            time.sleep(options.warm_up)
            before, from_s = figures(server.pid), time.monotonic()
            time.sleep(options.seconds)
            after, to_s = figures(server.pid), time.monotonic()
            n_up = ask(options.port, "sum(up)")
            if options.hold:
                input(f"{name} is up as process {server.pid}; return goes on: ")
        finally:
            server.terminate()
            server.wait()
    finally:
        for exporter in exporters:
            exporter.terminate()
            exporter.wait()
    arrivals = []
    for report in reports:
        with open(report) as text:
            arrivals += json.load(text)
    show(name, before, after, n_up, to_s - from_s, lateness(arrivals, from_s, to_s, options.interval))


def lateness(arrivals, from_s, to_s, interval_s):
    """How far each gap between two scrapes of a target is from the interval; gaps of two and more count as
    scrapes that were missed."""
    off_ms, n_missed, n_scrapes = [], 0, 0
    for times in arrivals:
        inside = [t for t in times if from_s <= t <= to_s]
        n_scrapes += len(inside)
        for earlier, later in zip(inside, inside[1:]):
            ticks = max(1, round((later - earlier) / interval_s))
            n_missed += ticks - 1
            off_ms.append(abs(later - earlier - ticks * interval_s) * 1000)
    off_ms.sort()
    at = lambda share: off_ms[min(len(off_ms) - 1, int(len(off_ms) * share))] if off_ms else float("nan")
    return {"p50": at(0.5), "p99": at(0.99), "max": at(1.0), "missed": n_missed, "scrapes": n_scrapes}


def show(name, before, after, n_up, seconds, late):
    mib = 1 << 20
    print(f"{name:<12} CPU {(after['cpu_s'] - before['cpu_s']) / seconds * 100:6.1f} %   "
          f"resident {after['resident'] / mib:6.0f} MiB (peak {after['peak'] / mib:.0f})   "
          f"threads {after['threads']}, files {after['files']}   up {n_up:.0f}   "
          f"{late['scrapes'] / seconds:.0f} scrapes/s, missed {late['missed']}, off by "
          f"p50 {late['p50']:.1f} ms, p99 {late['p99']:.1f} ms, max {late['max']:.0f} ms", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sextant", default="target/release/sextant", help="our program; empty leaves it out")
    parser.add_argument("--peer", default="", help="a Prometheus; empty leaves it out")
    parser.add_argument("--targets", type=int, default=10_000)
    parser.add_argument("--series", type=int, default=100, help="of each target")
    parser.add_argument("--interval", type=int, default=15, help="between scrapes, in seconds")
    parser.add_argument("--warm-up", type=int, default=45, help="seconds before the measurement")
    parser.add_argument("--seconds", type=int, default=120, help="length of the measurement")
    parser.add_argument("--port", type=int, default=19090, help="where the servers listen")
    parser.add_argument("--hold", action="store_true", help="wait for the return key before the server ends")
    options = parser.parse_args()
    raise_open_files()
    folder = tempfile.mkdtemp(prefix="scrape-scale-")
    try:
        write_config(folder, options)
        listen, file = f"--web.listen-address=127.0.0.1:{options.port}", f"--config.file={folder}/prometheus.yml"
        for name, program in (("sextant", [options.sextant, "prometheus"]), ("prometheus", [options.peer])):
            if program[0]:
                data = f"--storage.tsdb.path={folder}/{name}"
                measure(name, [*program, listen, file, data], folder, options)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve_targets(*map(int, sys.argv[2:5]), sys.argv[5])
    else:
        main()
