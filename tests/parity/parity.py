#!/usr/bin/env python3
"""Runs Prometheus and Sextant side by side on the same input and compares their HTTP answers.

    tests/parity/parity.py [--peer PROMETHEUS] [--own SEXTANT] [--only requests|queries] [--grep TEXT] [--verbose]

Exits 0 when nothing differs beyond known.txt, 1 when something does, and says SKIPPED (exit 0) when there
is no peer to compare with. Needs nothing beyond Python's standard library.
"""

import argparse
import difflib
import http.client
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import fixture_exporter  # noqa: E402
import written_data  # noqa: E402

TOLERANCE = 1e-6

HEADERS_COMPARED = [
    "Content-Type", "Content-Encoding", "Vary", "Location", "Allow", "X-Content-Type-Options",
    "Access-Control-Allow-Origin", "Access-Control-Allow-Headers", "Access-Control-Allow-Methods",
    "Access-Control-Expose-Headers",
]  # fmt: skip

# JSON members whose values depend on the moment or on the machine, or that only one release has.
MASKED = {
    "lastScrape", "lastScrapeDuration", "lastEvaluation", "evaluationTime", "activeAt", "serverTime",
    "startTime", "lastConfigTime", "timings", "CWD", "hostname", "goroutineCount", "GOMEMLIMIT", "GOMAXPROCS",
    "GOGC", "GODEBUG",
}  # fmt: skip

CONFIG = """global:
  scrape_interval: 1s
  evaluation_interval: 1s
  external_labels: {{region: parity, replica: "1"}}
rule_files: [{dir}/rules.yml]
alerting:
  alertmanagers:
    - static_configs: [{{targets: ["127.0.0.1:1"]}}]
scrape_configs:
  - job_name: fixture
    static_configs:
      - targets: ["127.0.0.1:{exporter}", "dropped:1"]
        labels: {{extra: "yes"}}
    relabel_configs:
      - source_labels: [__address__]
        regex: dropped.*
        action: drop
      - source_labels: [extra]
        target_label: copied
        replacement: v-$1
  - job_name: openmetrics
    metrics_path: /openmetrics
    params: {{module: [a, b]}}
    static_configs: [{{targets: ["127.0.0.1:{exporter}"]}}]
  - job_name: broken
    metrics_path: /broken
    static_configs: [{{targets: ["127.0.0.1:{exporter}"]}}]
  - job_name: missing
    metrics_path: /nothing
    static_configs: [{{targets: ["127.0.0.1:{exporter}"]}}]
"""

RULES = """groups:
  - name: first
    rules:
      - record: job:cpus:sum
        expr: sum by (job)(demo_num_cpus)
      - record: job:labelled
        expr: vector(1)
        labels: {team: a}
      - alert: AlwaysOn
        expr: vector(1)
        labels: {severity: page}
        annotations: {summary: "value {{ $value }}"}
      - alert: Waiting
        expr: vector(3) > 2
        for: 1h
        keep_firing_for: 5m
        labels: {severity: ticket, templated: "{{ $value }}"}
  - name: second
    interval: 2s
    limit: 10
    rules:
      - record: second:one
        expr: vector(1)
      - alert: NeverOn
        expr: nothing > 0
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """One running program."""

    def __init__(self, name, command, directory, extra=()):
        self.name, self.port = name, free_port()
        self.log = open(os.path.join(directory, f"{name}.log"), "wb")
        data = os.path.join(directory, f"{name}.data")
        os.makedirs(data)
        arguments = [
            *command,
            f"--config.file={directory}/prometheus.yml",
            f"--storage.tsdb.path={data}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.enable-admin-api",
            "--web.enable-lifecycle",
            "--web.enable-remote-write-receiver",
            *extra,
        ]
        self.process = subprocess.Popen(arguments, stdout=self.log, stderr=self.log, cwd=directory)

    def ask(self, method, path, headers=(), body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.putrequest(method, path, skip_accept_encoding=True)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        return response, answer

    def wait_ready(self, seconds=90):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                sys.exit(f"{self.name} ended with {self.process.returncode}, see {self.log.name}")
            try:
                if self.ask("GET", "/-/ready")[0].status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        sys.exit(f"{self.name} did not become ready, see {self.log.name}")

    def wait_scraped(self, seconds=60):
        """Until every target was scraped and every rule evaluated."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            targets, rules = (self.ask("GET", f"/api/v1/{what}")[1].decode() for what in ("targets", "rules"))
            if "fixture" in targets and "first" in rules and '"unknown"' not in targets + rules:
                # Once more, so that what one evaluation wrote the next has seen.
                time.sleep(3)
                return
            time.sleep(0.2)
        sys.exit(f"{self.name} did not scrape and evaluate everything, see {self.log.name}")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.log.close()


def at_time(text, end_s):
    return re.sub(r"\{T(-\d+)?\}", lambda m: str(end_s + int(m.group(1) or 0)), text)


def parse_request(line, end_s):
    target, *options = re.split(r" \| ", at_time(line, end_s))
    method, path = target.split(" ", 1)
    headers, body = [], None
    for option in options:
        if option.startswith("body="):
            body = option[5:].encode()
            headers.append(("Content-Type", "application/x-www-form-urlencoded"))
        elif option.startswith("raw="):
            body = option[4:].encode()
        else:
            headers.append(tuple(option.split(": ", 1)))
    if body is None and method in ("POST", "PUT"):
        body = b""
    # Raw blanks, quotes and letters beyond ASCII may not stand in a request line.
    return method, urllib.parse.quote(path, safe="/?&=%+[]{}():;,.~@!*'^|$-"), headers, body


def expand(template):
    m = re.search(r"\{\{(.*?)\}\}", template)
    if not m:
        return [template]
    # `{T-60}` inside alternatives ends with a brace of its own.
    start, end = m.span()
    while template[end : end + 1] == "}":
        end += 1
    inner = template[start + 2 : end - 2]
    return [one for choice in inner.split("|") for one in expand(template[:start] + choice + template[end:])]


def as_number(value):
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, str) and re.fullmatch(r"[+-]?(\d+(\.\d+)?(e[+-]?\d+)?|Inf|NaN)", value):
        return float(value)
    return None


def close(a, b):
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or abs(a - b) <= TOLERANCE * max(abs(a), abs(b)) or abs(a - b) < 1e-12


def compare_json(theirs, ours, where, out):
    if len(out) > 8:
        return
    key = where.rsplit(".", 1)[-1]
    if key in MASKED:
        return
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for k in theirs:
            if k not in ours:
                out.append(f"{where}.{k}: missing, theirs {json.dumps(theirs[k])[:120]}")
            else:
                compare_json(theirs[k], ours[k], f"{where}.{k}", out)
        out.extend(f"{where}.{k}: only ours {json.dumps(ours[k])[:120]}" for k in ours if k not in theirs)
        return
    if isinstance(theirs, list) and isinstance(ours, list):
        if len(theirs) != len(ours):
            out.append(f"{where}: {len(theirs)} elements, ours {len(ours)}: {json.dumps(theirs)[:250]} / {json.dumps(ours)[:250]}")
            return
        for i, (t, o) in enumerate(zip(theirs, ours)):
            compare_json(t, o, f"{where}[{i}]", out)
        return
    a, b = as_number(theirs), as_number(ours)
    if a is not None and b is not None and type(theirs) is type(ours) and close(a, b):
        return
    if theirs != ours and isinstance(theirs, str) and isinstance(ours, str) and "\n" in theirs:
        lines = difflib.unified_diff(theirs.splitlines(), ours.splitlines(), "theirs", "ours", lineterm="", n=1)
        out.extend(f"{where}: line {line!r}" for line in list(lines)[2:40] if not line.startswith("@@"))
        return
    if theirs != ours:
        out.append(f"{where}: {json.dumps(theirs, ensure_ascii=False)[:300]}, ours {json.dumps(ours, ensure_ascii=False)[:300]}")


def plain_body(response, body):
    encoding = response.getheader("Content-Encoding")
    if encoding == "gzip":
        return zlib.decompress(body, 31)
    if encoding == "deflate":
        return zlib.decompress(body)
    return body


def sorted_series(document):
    """Instant vectors and matrices have no order of their own."""
    data = document.get("data") if isinstance(document, dict) else None
    if isinstance(data, list) and data and isinstance(data[0], dict) and "__name__" in data[0]:
        data.sort(key=lambda labels: json.dumps(labels, sort_keys=True))
    if isinstance(data, dict) and data.get("resultType") in ("vector", "matrix"):
        data["result"].sort(key=lambda s: json.dumps(s.get("metric", {}), sort_keys=True))
    return document


def compare(line, theirs, ours, ordered):
    (peer, peer_body), (own, own_body) = theirs, ours
    out = []
    if peer.status != own.status:
        out.append(f"status {peer.status}, ours {own.status}")
    for name in HEADERS_COMPARED:
        a, b = (", ".join(sorted(r.headers.get_all(name) or [])) for r in (peer, own))
        if name == "Vary":
            # Ours on purpose: caches are told that answers depend on Accept-Encoding.
            b = b.removeprefix("Accept-Encoding").removeprefix(", ")
        if a != b:
            out.append(f"header {name}: {a!r}, ours {b!r}")
    peer_text, own_text = (plain_body(r, b).decode("utf-8", "replace") for r, b in (theirs, ours))
    try:
        peer_json, own_json = json.loads(peer_text), json.loads(own_text)
    except ValueError:
        if peer_text != own_text:
            out.append(f"body {peer_text[:600]!r}, ours {own_text[:600]!r}")
        return out
    if not ordered:
        peer_json, own_json = sorted_series(peer_json), sorted_series(own_json)
    compare_json(peer_json, own_json, "", out)
    return out


def known_differences():
    """[(regex over `request: difference`, reason)] of known.txt; the file explains itself."""
    found = []
    for line in open(os.path.join(HERE, "known.txt"), encoding="utf-8"):
        line = line.rstrip("\n")
        if line and not line.startswith("#"):
            pattern, reason = line.split("  ## ")
            found.append((re.compile(pattern), reason))
    return found


class Report:
    def __init__(self, verbose):
        self.known, self.used = known_differences(), {}
        self.n, self.n_same, self.n_known, self.bad, self.verbose = 0, 0, 0, [], verbose

    def add(self, line, differences):
        self.n += 1
        left = []
        for difference in differences:
            reason = next((r for p, r in self.known if p.search(f"{line}: {difference}")), None)
            if reason is None:
                left.append(difference)
            else:
                self.used[reason] = self.used.get(reason, 0) + 1
        if left:
            self.bad.append(line)
            print(f"DIFFERS {line}")
            for difference in left:
                print(f"    {difference}")
        elif differences:
            self.n_known += 1
        else:
            self.n_same += 1

    def finish(self, what):
        print(f"{what}: {self.n} compared, {self.n_same} the same, {self.n_known} differ as known, {len(self.bad)} differ")


def run(peer, own, end_s, args):
    reports = []
    if args.only != "queries":
        report = Report(args.verbose)
        for line in open(os.path.join(HERE, "requests.txt"), encoding="utf-8"):
            line = line.rstrip("\n")
            if not line or line.startswith("#") or (args.grep and args.grep not in line):
                continue
            request = parse_request(line, end_s)
            try:
                ordered = "sort" in line
                differences = compare(line, peer.ask(*request), own.ask(*request), ordered)
            except (OSError, http.client.HTTPException) as error:
                differences = [f"no answer: {error!r}"]
            report.add(line, mask_ports(differences, peer, own))
        reports.append(("requests", report))
    if args.only != "requests":
        report = Report(args.verbose)
        for template in open(os.path.join(HERE, "queries.txt"), encoding="utf-8"):
            template = template.rstrip("\n")
            if not template or template.startswith("# "):
                continue
            for query in expand(template):
                if args.grep and args.grep not in query:
                    continue
                query = at_time(query, end_s)
                encoded = urllib.parse.quote(query)
                start = end_s - written_data.MINUTES * 60 + 600
                for path in (
                    f"/api/v1/query_range?query={encoded}&start={start}&end={end_s}&step=30",
                    f"/api/v1/query?query={encoded}&time={end_s - 17}",
                ):
                    differences = compare(query, peer.ask("GET", path), own.ask("GET", path), False)
                    kind = path[8:].split("?")[0]
                    report.add(f"{kind} {query}", differences)
        reports.append(("queries", report))
    for what, report in reports:
        report.finish(what)
        for reason, n in sorted(report.used.items()):
            print(f"    known {n:4}: {reason}")
    return all(not report.bad for _, report in reports)


def mask_ports(differences, peer, own):
    """Drops differences that are nothing but the two servers' ports and directories."""
    kept = []
    for difference in differences:
        m = re.fullmatch(r"(?s)(.*?)[:] (.*), ours (.*)", difference)
        if m:
            theirs = m.group(2).replace(str(peer.port), "PORT").replace(peer.name, "NAME")
            ours = m.group(3).replace(str(own.port), "PORT").replace(own.name, "NAME")
            if theirs == ours:
                continue
        kept.append(difference)
    return kept


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", default=os.environ.get("PARITY_PROMETHEUS") or shutil.which("prometheus"))
    own_default = os.path.join(HERE, "../../target/debug/sextant")
    parser.add_argument("--own", default=os.environ.get("SEXTANT_BIN") or own_default)
    parser.add_argument("--only", choices=["requests", "queries"])
    parser.add_argument("--grep", help="only requests or queries that contain this text")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--keep", action="store_true", help="keep the directory with logs and data")
    args = parser.parse_args()
    if not args.peer or not os.path.exists(args.peer):
        print("SKIPPED: needs a Prometheus binary (--peer, PARITY_PROMETHEUS, or on PATH)")
        return 0
    if not os.path.exists(args.own):
        print(f"SKIPPED: needs a built sextant (--own or SEXTANT_BIN), none at {args.own}")
        return 0
    directory = tempfile.mkdtemp(prefix="parity-")
    exporter_port = free_port()
    exporter = fixture_exporter.start(exporter_port)
    with open(f"{directory}/prometheus.yml", "w") as f:
        f.write(CONFIG.format(dir=directory, exporter=exporter_port))
    with open(f"{directory}/rules.yml", "w") as f:
        f.write(RULES)
    features = "promql-experimental-functions,exemplar-storage"
    peer = Server("peer", [args.peer], directory, [f"--enable-feature={features},native-histograms"])
    own = Server("own", [args.own, "prometheus"], directory, [f"--enable-feature={features}"])
    servers = [peer, own]
    try:
        for server in servers:
            server.wait_ready()
        # Newer than any scrape can be is not allowed to be old: the data ends just before now.
        end_s = int(time.time()) // 10 * 10 - 20
        headers = [
            ("Content-Type", "application/x-protobuf"),
            ("Content-Encoding", "snappy"),
            ("X-Prometheus-Remote-Write-Version", "0.1.0"),
        ]
        for body in written_data.requests(end_s):
            for server in servers:
                response, answer = server.ask("POST", "/api/v1/write", headers, body)
                if response.status != 204:
                    sys.exit(f"{server.name} refused the data: {response.status} {answer.decode()}")
        for server in servers:
            server.wait_scraped()
        return 0 if run(peer, own, end_s, args) else 1
    finally:
        for server in servers:
            server.stop()
        exporter.shutdown()
        if args.keep:
            print(f"kept {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
