"""The series both servers are given by remote write 1.0, encoded here so that nothing needs installing."""

import math
import struct

STEP_S = 10
MINUTES = 40


def varint(n):
    out = bytearray()
    n &= (1 << 64) - 1
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def zigzag(n):
    return varint((n << 1) ^ (n >> 63))


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def number(num, n):
    return varint(num << 3) + varint(n)


def double(num, v):
    return varint(num << 3 | 1) + struct.pack("<d", v)


def label(name, value):
    return field(1, field(1, name.encode()) + field(2, value.encode()))


def sample(t_ms, v):
    return field(2, double(1, v) + number(2, t_ms))


def exemplar(t_ms, v, trace):
    return field(3, field(1, field(1, b"trace_id") + field(2, trace.encode())) + double(2, v) + number(3, t_ms))


def histogram(t_ms, counts, total):
    """Integer native histogram, schema 1: a zero bucket and spans with a gap."""
    zero, buckets = counts[0], counts[1:]
    deltas = b"".join(zigzag(b - a) for a, b in zip([0, *buckets], buckets))
    spans = [(-2, 2), (1, len(buckets) - 2)]
    body = number(1, zero + sum(buckets)) + double(3, total)
    body += varint(4 << 3) + zigzag(1) + double(5, 1e-3) + number(6, zero)
    for offset, length in spans:
        body += field(11, varint(1 << 3) + zigzag(offset) + number(2, length))
    body += field(12, deltas) + number(15, t_ms)
    return field(4, body)


def snappy_literal(data):
    """Valid snappy without compression."""
    out = bytearray(varint(len(data)))
    for at in range(0, len(data), 60):
        chunk = data[at : at + 60]
        out.append((len(chunk) - 1) << 2)
        out += chunk
    return bytes(out)


def series(end_s):
    """(labels, [(t_ms, encoded sample)]) for every series; the newest sample is at `end_s`."""
    times = range(end_s - MINUTES * 60, end_s + 1, STEP_S)
    made = []

    def add(labels, value, keep=lambda i: True):
        points = [(t * 1000, sample(t * 1000, value(i, t))) for i, t in enumerate(times) if keep(i)]
        made.append((labels, points))

    for n, instance in enumerate(["localhost:10000", "localhost:10001", "localhost:10002"]):
        base = {"instance": instance, "job": "demo"}
        add({"__name__": "demo_num_cpus", **base}, lambda i, t, n=n: 2.0 ** (n + 1))
        add(
            {"__name__": "demo_intermittent_metric", **base},
            lambda i, t, n=n: float(i * (n + 1)),
            lambda i: i % 60 < 35,
        )
        add({"__name__": "demo_batch_last_success_timestamp_seconds", **base}, lambda i, t, n=n: t - (t % 60) - n)
        add({"__name__": "demo_disk_usage_bytes", **base}, lambda i, t, n=n: 1e9 + 1e6 * i * (n + 1) + 1e5 * math.sin(i))
        for m, mode in enumerate(["idle", "user", "system"]):
            add(
                {"__name__": "demo_cpu_usage_seconds_total", "mode": mode, **base},
                lambda i, t, n=n, m=m: i * (0.1 + 0.3 * m) + 0.01 * (i * i % 7) * (n + 1),
            )
        for m, kind in enumerate(["used", "free", "buffers", "cached"]):
            add(
                {"__name__": "demo_memory_usage_bytes", "type": kind, **base},
                lambda i, t, n=n, m=m: 1e8 * (m + 1) * (n + 2) + 1e6 * math.cos(i / 5 + m),
            )
        for b, le in enumerate(["0.001", "0.01", "0.1", "1", "10", "+Inf"]):
            add(
                {"__name__": "demo_api_request_duration_seconds_bucket", "le": le, **base},
                lambda i, t, n=n, b=b: float(i * (b + 1) * (n + 1)),
            )
        made.append(
            (
                {"__name__": "parity_native", **base},
                [
                    (t * 1000, histogram(t * 1000, [i, i + n, 2 * i, 3 * i + 1, i, 5 * i], 1.5 * i + n))
                    for i, t in enumerate(times)
                ],
            )
        )
    add({"__name__": "parity_counter_resets", "job": "demo"}, lambda i, t: float(i % 17))
    add({"__name__": "utf8.metric", "label.dot": "x", "job": "demo", "a/b": "slash"}, lambda i, t: float(i))
    add({"__name__": "utf8.metric", "label.dot": "ÿ≠", "job": "demo"}, lambda i, t: float(2 * i))
    exemplars = {"__name__": "parity_exemplars_total", "job": "demo"}
    made.append(
        (
            exemplars,
            [
                (t * 1000, sample(t * 1000, float(i)) + (exemplar(t * 1000, 0.5, f"trace{i}") if i % 20 == 0 else b""))
                for i, t in enumerate(times)
            ],
        )
    )
    return made


def requests(end_s, points_per_request=60):
    """Bodies for `POST /api/v1/write`, in time order."""
    made = series(end_s)
    longest = max(len(points) for _, points in made)
    for at in range(0, longest, points_per_request):
        body = b""
        for labels, points in made:
            chosen = points[at : at + points_per_request]
            if chosen:
                encoded = b"".join(label(name, labels[name]) for name in sorted(labels))
                # Within one series samples come first, then exemplars, then histograms; any order decodes.
                body += field(1, encoded + b"".join(point for _, point in chosen))
        yield snappy_literal(body)
