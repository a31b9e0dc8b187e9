"""An exporter of protobuf exposition with native histograms, encoded by hand so that nothing needs installing.

Two servers scrape at moments of their own. So that both store the same, nothing here depends on the clock: every
server and job, named in the query of its requests, is led through the same steps, each served twice, with the
timestamps of the steps in the exposition. After the last step its content stays.
"""

import math
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from written_data import double, field, number, varint, zigzag

STEP_S = 10
STEPS = 36
SERVED_PER_STEP = 2
CONTENT_TYPE = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

COUNTER, GAUGE, SUMMARY, UNTYPED, HISTOGRAM, GAUGE_HISTOGRAM = range(6)


def signed(num, n):
    return varint(num << 3) + zigzag(n)


def pair(name, value):
    return field(1, name.encode()) + field(2, value.encode())


def timestamp(num, t_ms):
    return field(num, number(1, t_ms // 1000) + number(2, t_ms % 1000 * 1_000_000))


def exemplar(num, t_ms, value, trace):
    """Without a time when `t_ms` is None."""
    body = field(1, pair("trace_id", trace)) + double(2, value)
    return field(num, body + (b"" if t_ms is None else timestamp(3, t_ms)))


def side(numbers, first, counts, is_float):
    """Spans and counts of one side; an empty bucket ends a span and is stepped over."""
    spans, deltas, n, gap, last = [], b"", 0, first, 0
    span_field, delta_field, count_field = numbers
    for count in counts:
        if count == 0:
            if n:
                spans.append((gap, n))
                gap, n = 0, 0
            gap += 1
            continue
        n += 1
        deltas += double(count_field, float(count)) if is_float else signed(delta_field, count - last)
        last = count
    if n:
        spans.append((gap, n))
    return b"".join(field(span_field, signed(1, offset) + number(2, length)) for offset, length in spans) + deltas


def native(schema, zero, positive, negative, total, threshold=1e-3, is_float=False):
    """The members of a native histogram; `positive` and `negative` are (first index, counts)."""
    count = zero + sum(positive[1]) + sum(negative[1])
    if is_float:
        body = double(4, float(count)) + double(8, float(zero))
    else:
        body = number(1, count) + number(7, zero)
    body += double(2, total) + signed(5, schema) + double(6, threshold)
    body += side((9, 10, 11), *negative, is_float) + side((12, 13, 14), *positive, is_float)
    if not any(negative[1]) and not any(positive[1]):
        body += field(12, signed(1, 0) + number(2, 0))  # What tells an empty native histogram from a classic one.
    return body


def classic(bounds, counts, t_ms=None, head=None):
    """Cumulative buckets; with `t_ms` every second bucket has an exemplar. `head` is (count, sum)."""
    body = number(1, head[0]) + double(2, head[1]) if head else b""
    sum_of = 0
    for at, (bound, count) in enumerate(zip(bounds, counts)):
        sum_of += count
        inner = number(1, sum_of) + double(2, bound)
        if t_ms is not None and at % 2 == 0:
            inner += exemplar(3, t_ms - 500 + at, bound if math.isfinite(bound) else 99.0, f"classic{at}-{t_ms}")
        body += field(3, inner)
    return body


def metric(t_ms, member, body, **labels):
    pairs = b"".join(field(1, pair(name, value)) for name, value in sorted(labels.items()))
    return field(4, pairs + field(member, body) + number(6, t_ms))


def family(name, kind, *metrics, unit=""):
    body = field(1, name.encode()) + field(2, f"Help of {name}.".encode()) + number(3, kind)
    body += b"".join(metrics) + (field(5, unit.encode()) if unit else b"")
    return varint(len(body)) + body


def exponential(step, age, schema):
    """`age` is how many steps ago the counts began."""
    width = 2 ** max(schema, 0)
    positive = (-width, [age + at % 3 if at % 4 else 2 * age for at in range(4 * width)])
    negative = (0, [age * (at % 2) for at in range(2 * width)])
    return native(schema, age // 2, positive, negative, 1.5 * age - 0.25 * step)


def exposition(step, t_ms):
    begin_ms = t_ms - step * STEP_S * 1000
    age = step if step < 24 else step - 24
    created_ms = begin_ms - 2500 if step < 24 else begin_ms + 24 * STEP_S * 1000 - 2500
    created = timestamp(15, created_ms)
    schema = 3 if step < 15 else 1
    sparse = (0, [step + 1, 0, 0, step, 2, 0, 3 * step])
    bounds, counts = [0.1, 0.5, 1.0, 2.5, math.inf], [age, 2 * age, age // 2, 0, 1]
    head = (sum(counts), 0.75 * age)

    def histogram(body, **labels):
        return metric(t_ms, 7, body, **labels)

    traced = native(2, step, sparse, (0, []), 2.0 * step)
    traced += exemplar(16, t_ms - 3000, 1.25, f"a{step}") + exemplar(16, t_ms - 1000, 3.5, f"b{step}")
    untimed = native(0, 0, sparse, (0, []), 2.0 * step) + exemplar(16, None, 1.0, f"untimed{step}")
    threshold = 1e-3 if step < 12 else 0.6
    total = math.nan if step % 12 == 5 else float(step)
    return b"".join(
        [
            family(
                "nh_exponential_seconds",
                HISTOGRAM,
                histogram(exponential(step, age, schema), path="/a"),
                histogram(exponential(step, step, 0), path="/b"),
                unit="seconds",
            ),
            family("nh_fine", HISTOGRAM, histogram(exponential(step, step, 5))),
            family("nh_coarse", HISTOGRAM, histogram(native(-2, 0, (0, [step, step]), (0, [step]), 1.0))),
            family("nh_sparse", HISTOGRAM, histogram(native(1, 0, sparse, sparse, total))),
            family("nh_empty", HISTOGRAM, histogram(native(3, 0, (0, []), (0, []), 0.0))),
            family("nh_threshold", HISTOGRAM, histogram(native(1, step, sparse, (0, []), 9.0 * step, threshold))),
            family("nh_float", HISTOGRAM, histogram(native(1, 0.5 * step, (0, [step + 0.5, 1.25]), (0, []), 0.5 * step, is_float=True))),
            family("nh_gauge", GAUGE_HISTOGRAM, histogram(native(1, abs(9 - step), (-1, [3, 20 - step % 7, step % 5 + 1]), (0, []), 1.0 * step))),
            family("nh_appears", HISTOGRAM, histogram(classic(bounds, counts, head=head) if step < 10 else native(0, 1, sparse, (0, []), 5.0))),
            family("nh_and_classic", HISTOGRAM, histogram(traced + classic([1.0, 4.0, math.inf], [2 * step + 1, 2, 4 * step], t_ms))),
            family("nh_untimed_exemplar", HISTOGRAM, histogram(untimed)),
            family("nh_created", HISTOGRAM, histogram(exponential(step, age + 1, 1) + created)),
            family("classic_seconds", HISTOGRAM, histogram(classic(bounds, counts, t_ms, head), path="/a"), histogram(classic(bounds[:2], counts[:2], None, head), path="/no-inf")),
            family("classic_created", HISTOGRAM, histogram(classic(bounds, counts, None, head) + created)),
            family("classic_gauge", GAUGE_HISTOGRAM, histogram(classic(bounds, counts, None, head))),
            family("counter_created_total", COUNTER, metric(t_ms, 3, double(1, 3.0 * age) + exemplar(2, t_ms - 10, 1.0, f"c{step}") + timestamp(3, created_ms))),
            family("summary_created", SUMMARY, metric(t_ms, 4, number(1, age) + double(2, 2.0 * age) + field(3, double(1, 0.5) + double(2, 1.5)) + timestamp(4, created_ms))),
            family("gauge_plain", GAUGE, metric(t_ms, 2, double(1, float(step)))),
            family("untyped_plain", UNTYPED, metric(t_ms, 5, double(1, float(step)))),
        ]
    )  # fmt: skip


class Exporter:
    """Serves on loopback in the background."""

    def __init__(self, port, end_s):
        self.end_s, self.asked, self.lock = end_s, {}, threading.Lock()
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
                body = exporter.next((query["server"][0], query["job"][0]))
                self.send_response(200)
                self.send_header("Content-Type", CONTENT_TYPE)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self, who):
        with self.lock:
            n = self.asked.get(who, 0)
            self.asked[who] = n + 1
        step = min(n // SERVED_PER_STEP, STEPS - 1)
        return exposition(step, (self.end_s - (STEPS - 1 - step) * STEP_S) * 1000)

    def is_finished(self, n_asking):
        """Whether everyone was served something after the last step, so that the last step is stored."""
        with self.lock:
            asked = list(self.asked.values())
        return len(asked) == n_asking and min(asked) > STEPS * SERVED_PER_STEP + 2
