"""An exporter whose answers depend only on how often it was asked, in text and in OpenMetrics."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TEXT = """# HELP fixture_requests_total Requests, with "quotes" and a \\\\ backslash.
# TYPE fixture_requests_total counter
fixture_requests_total{code="200",path="/a"} 100
fixture_requests_total{code="500",path="/b"} 3
# HELP fixture_temperature Degrees.
# TYPE fixture_temperature gauge
fixture_temperature 21.5
# TYPE fixture_latency_seconds histogram
fixture_latency_seconds_bucket{le="0.1"} 5
fixture_latency_seconds_bucket{le="1"} 8
fixture_latency_seconds_bucket{le="+Inf"} 9
fixture_latency_seconds_sum 4.5
fixture_latency_seconds_count 9
# TYPE fixture_summary summary
fixture_summary{quantile="0.5"} 1
fixture_summary_sum 10
fixture_summary_count 10
# HELP "fixture.utf8" A dotted name.
# TYPE "fixture.utf8" gauge
{"fixture.utf8","label.dot"="x"} 7
fixture_untyped 1
"""

OPENMETRICS = """# HELP fixture_requests Requests.
# TYPE fixture_requests counter
fixture_requests_total{code="200",path="/a"} 100
fixture_requests_total{code="500",path="/b"} 3
# HELP fixture_temperature_celsius Degrees.
# TYPE fixture_temperature_celsius gauge
# UNIT fixture_temperature_celsius celsius
fixture_temperature_celsius 21.5
# TYPE fixture_build info
fixture_build_info{version="1"} 1
# TYPE fixture_state stateset
fixture_state{fixture_state="a"} 1
fixture_state{fixture_state="b"} 0
# TYPE fixture_unknown unknown
fixture_unknown 1
# TYPE fixture_latency_seconds gaugehistogram
fixture_latency_seconds_bucket{le="0.1"} 5
fixture_latency_seconds_bucket{le="+Inf"} 9
fixture_latency_seconds_gsum 4.5
fixture_latency_seconds_gcount 9
# EOF
"""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        kinds = {
            "/metrics": ("text/plain; version=1.0.0; charset=utf-8", TEXT),
            "/openmetrics": ("application/openmetrics-text; version=1.0.0; charset=utf-8", OPENMETRICS),
            "/broken": ("text/plain; version=0.0.4", "a{ 1\n"),
        }
        if self.path not in kinds:
            self.send_error(503)
            return
        content_type, text = kinds[self.path]
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def start(port):
    """Serves on loopback in the background; returns the server."""
    import threading

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
