// The seed's api-gateway: express, instrumented as in the sample. What was mended is in README.md.
import express from "express";
import promClient from "prom-client";

const app = express();
const register = new promClient.Registry();
const labelNames = ["method", "route", "status"];
const httpRequestDuration = new promClient.Histogram({
  name: "http_request_duration_seconds",
  help: "Duration of HTTP requests in seconds",
  labelNames,
  buckets: [0.1, 0.5, 1, 2, 5],
  registers: [register],
});
const httpRequestTotal = new promClient.Counter({
  name: "http_requests_total",
  help: "Total number of HTTP requests",
  labelNames,
  registers: [register],
});

app.get("/metrics", async (_req, res) => {
  res.set("Content-Type", register.contentType);
  res.end(await register.metrics());
});

// Told from outside, like the metrics themselves not part of the traffic.
let checkoutFails = false;
app.put("/switch/checkout-fails/:state", (req, res) => {
  checkoutFails = req.params.state === "on";
  res.sendStatus(204);
});

app.use((req, res, next) => {
  const start = process.hrtime.bigint();
  res.on("finish", () => {
    const seconds = Number(process.hrtime.bigint() - start) / 1e9;
    const labels = {
      method: req.method,
      route: req.route ? req.baseUrl + req.route.path : "(unmatched)",
      status: res.statusCode.toString(),
    };
    httpRequestDuration.observe(labels, seconds);
    httpRequestTotal.inc(labels);
  });
  next();
});

app.get("/api/todos", (_req, res) => res.json([{ id: 1, title: "write the test" }]));
app.get("/api/todos/:id", (req, res) => res.json({ id: Number(req.params.id) }));
app.post("/api/todos", (_req, res) => res.status(201).json({ id: 2 }));
app.get("/api/report", (_req, res) => {
  setTimeout(() => res.json({ rows: [] }), 600);
});
app.post("/api/checkout", (_req, res) => {
  if (checkoutFails) return res.status(503).json({ error: "payments are down" });
  res.status(202).json({ order: 1 });
});

const server = app.listen(Number(process.env.PORT), "127.0.0.1", () => {
  console.log(`listening on ${server.address().port}`);
});
