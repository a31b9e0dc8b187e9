#!/usr/bin/env python3
"""Lets Prometheus and Sextant scrape the same native histograms and compares what they answer.

    tests/parity/native_histograms.py [--peer PROMETHEUS] [--own SEXTANT] [--grep TEXT] [--keep]

Exits like parity.py, whose parts it uses.
"""

import argparse
import difflib
import json
import os
import shutil
import sys
import tempfile
import time
import urllib.parse

import native_exporter
import parity

JOBS = {
    "plain": "",
    "both": "always_scrape_classic_histograms: true",
    "custom": "convert_classic_histograms_to_nhcb: true",
    "custom_both": "convert_classic_histograms_to_nhcb: true\n    always_scrape_classic_histograms: true",
    "limited": "native_histogram_bucket_limit: 6",
    "limited_custom": "convert_classic_histograms_to_nhcb: true\n    native_histogram_bucket_limit: 4",
    "refused": "native_histogram_bucket_limit: 1",
    "factor": "native_histogram_min_bucket_factor: 1.5",
    "factor_limited": "native_histogram_min_bucket_factor: 3\n    native_histogram_bucket_limit: 3",
}


FEDERATED = [
    '{__name__=~"nh_.+"}',
    '{__name__=~"classic_.+"}',
    '{job="custom",__name__!~"up|scrape_.+"}',
    '{job="limited",__name__!~"up|scrape_.+"}',
]

# 3.5 does not convert and write samples of zero at created timestamps at the same time (its issue 15137).
ROUNDS = [
    ("native histograms", list(JOBS), "", None),
    ("created timestamps", ["plain", "both", "limited"], ",created-timestamp-zero-ingestion", "created"),
]


def configuration(server, exporter_port, jobs):
    text = "global:\n  scrape_interval: 500ms\n  scrape_protocols: [PrometheusProto]\n"
    if server == "own":
        # The peer of 3.5 has a feature flag for it.
        text += "  scrape_native_histograms: true\n"
    text += "scrape_configs:\n"
    for job in jobs:
        text += f"""  - job_name: {job}
    params: {{server: [{server}], job: [{job}]}}
    static_configs: [{{targets: ["127.0.0.1:{exporter_port}"], labels: {{instance: one}}}}]
    {JOBS[job]}
"""
    return text


def requests(end_s):
    """(what it is called, path) of everything compared."""
    start_s = end_s - (native_exporter.STEPS - 1) * native_exporter.STEP_S
    at_s = end_s - 3
    for template in open(os.path.join(parity.HERE, "native_queries.txt"), encoding="utf-8"):
        template = template.rstrip("\n")
        if not template or template.startswith("# "):
            continue
        for query in parity.expand(template):
            encoded = urllib.parse.quote(query)
            yield f"instant {query}", f"/api/v1/query?query={encoded}&time={at_s}"
            yield f"middle {query}", f"/api/v1/query?query={encoded}&time={start_s + 170}"
            if not query.endswith("]"):
                path = f"/api/v1/query_range?query={encoded}&start={start_s}&end={end_s}&step=7"
                yield f"range {query}", path
    last = urllib.parse.quote('{__name__=~"up|scrape_samples_.*|scrape_series_added"}')
    yield "of scrapes", f"/api/v1/query?query={last}"
    for selector in ("nh_.+", "classic_.+", "nh_and_classic|counter_.+", ".+_created.*"):
        encoded = urllib.parse.quote(f'{{__name__=~"{selector}"}}')
        yield f"exemplars {selector}", f"/api/v1/query_exemplars?query={encoded}&start={start_s - 60}&end={end_s + 60}"
        yield f"series {selector}", f"/api/v1/series?match[]={encoded}&start={start_s - 60}&end={end_s + 60}"
    yield "metadata", "/api/v1/metadata?limit_per_metric=1"
    yield "targets", "/api/v1/targets?state=active"


def members(message):
    """[(number, bytes)] of a protobuf message; varints stay encoded."""
    found, at = [], 0

    def varint():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = varint()
        start = at
        if key & 7 == 0:
            varint()
        elif key & 7 == 1:
            at += 8
        else:
            length = varint()
            start, at = at, at + length
        found.append((key >> 3, message[start:at]))
    return found


def canonical(histogram):
    """By number: repeated doubles joined, as they may be packed, and zeros left out, as they may be."""
    found = {}
    for number, value in histogram:
        if number in (9, 12):
            value = value.removeprefix(b"\x08\x00")
        found.setdefault(number, []).append(value)
    joined = {n: b"".join(v) if n in (11, 14) else v for n, v in found.items()}
    return sorted((n, v) for n, v in joined.items() if n in (11, 14) or b"".join(v).strip(b"\0"))


def metrics_of(delimited):
    """A sorted line for every metric of a protobuf exposition: families and metrics have no order of their own."""
    lines = []
    # A sequence of delimited messages reads like one field after another, but for the keys.
    at = 0
    while at < len(delimited):
        length, shift = 0, 0
        while True:
            byte = delimited[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        family = members(delimited[at : at + length])
        at += length
        head = [value for number, value in family if number in (1, 3)]
        for metric in (value for number, value in family if number == 4):
            labels = sorted(value for number, value in members(metric) if number == 1)
            fields = [(n, canonical(members(v)) if n == 7 else v) for n, v in members(metric)]
            rest = sorted((field for field in fields if field[0] != 1), key=lambda field: field[0])
            lines.append(f"{head} {labels} {rest}")
    return sorted(lines)


def compare_federation(peer, own, report):
    for selector in FEDERATED:
        path = f"/federate?match[]={urllib.parse.quote(selector)}"
        for accept in (native_exporter.CONTENT_TYPE, "text/plain"):
            asked = [server.ask("GET", path, [("Accept", accept)]) for server in (peer, own)]
            types = [(r.status, r.getheader("Content-Type")) for r, _ in asked]
            lines = [
                sorted(body.decode().splitlines()) if accept == "text/plain" else metrics_of(body) for _, body in asked
            ]
            differences = [] if types[0] == types[1] else [f"{types[0]}, ours {types[1]}"]
            if not differences:
                unified = difflib.unified_diff(*lines, "theirs", "ours", lineterm="", n=0)
                differences = [line for line in list(unified)[2:] if not line.startswith("@@")]
            report.add(f"federate {selector} as {accept.split(';')[0]}", differences)


def by_labels(elements, member):
    """Under their labels, so that a difference names the series it is in."""
    return {json.dumps(e[member] if member else e, sort_keys=True): e for e in elements}


def asked(server, path):
    """The answer, with series under their labels and warnings in order: the peer keeps them in maps."""
    response, body = server.ask("GET", path)
    document = json.loads(body)
    for member in ("warnings", "infos"):
        if member in document:
            document[member].sort()
    data = document.get("data")
    if isinstance(data, dict) and data.get("resultType") in ("vector", "matrix"):
        data["result"] = by_labels(data["result"], "metric")
    elif isinstance(data, list) and "query_exemplars" in path:
        document["data"] = by_labels(data, "seriesLabels")
    elif isinstance(data, list) and "/series" in path:
        document["data"] = by_labels(data, None)
    return response, json.dumps(document).encode()


def run(what, peer, own, end_s, texts):
    """Whether nothing differs in what contains all of `texts`."""
    report = parity.Report(False)
    for name, path in requests(end_s):
        if not all(text in name for text in texts):
            continue
        differences = parity.compare(name, asked(peer, path), asked(own, path), True)
        report.add(name, parity.mask_ports(differences, peer, own))
    if all(text in "federate" for text in texts):
        compare_federation(peer, own, report)
    report.finish(what)
    for reason, n in sorted(report.used.items()):
        print(f"    known {n:4}: {reason}")
    return not report.bad


def one_round(args, what, jobs, feature, grep):
    """Whether nothing differs."""
    directory = tempfile.mkdtemp(prefix="parity-native-")
    exporter_port = parity.free_port()
    end_s = int(time.time()) // 10 * 10
    exporter = native_exporter.Exporter(exporter_port, end_s)
    features = "promql-experimental-functions,exemplar-storage" + feature
    servers = []
    try:
        for name, command, more in (
            ("peer", [args.peer], ",native-histograms"),
            ("own", [args.own, "prometheus"], ""),
        ):
            own_directory = os.path.join(directory, name)
            os.makedirs(own_directory)
            with open(os.path.join(own_directory, "prometheus.yml"), "w") as f:
                f.write(configuration(name, exporter_port, jobs))
            servers.append(parity.Server(name, command, own_directory, [f"--enable-feature={features}{more}"]))
        for server in servers:
            server.wait_ready()
        deadline = time.monotonic() + 120
        while not exporter.is_finished(len(jobs) * len(servers)):
            if time.monotonic() > deadline:
                sys.exit(f"not everything was scraped: {exporter.asked}")
            time.sleep(0.2)
        return run(what, *servers, end_s, [text for text in (args.grep, grep) if text])
    finally:
        for server in servers:
            server.stop()
        exporter.server.shutdown()
        if args.keep:
            print(f"kept {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", default=os.environ.get("PARITY_PROMETHEUS") or shutil.which("prometheus"))
    own_default = os.path.join(parity.HERE, "../../target/debug/sextant")
    parser.add_argument("--own", default=os.environ.get("SEXTANT_BIN") or own_default)
    parser.add_argument("--grep", help="only what contains this text")
    parser.add_argument("--keep", action="store_true", help="keep the directory with logs and data")
    args = parser.parse_args()
    if not args.peer or not os.path.exists(args.peer) or not os.path.exists(args.own):
        print("SKIPPED: needs a Prometheus binary (--peer) and a built sextant (--own)")
        return 0
    return 0 if all([one_round(args, *of_round) for of_round in ROUNDS]) else 1


if __name__ == "__main__":
    sys.exit(main())
