// Sends an exact number of requests: node load.js http://127.0.0.1:PORT '[["GET", "/api/todos", 200, 40], ...]'
// Each entry is method, path, the status that must come back, and how many. Kinds are interleaved as
// evenly as their numbers allow, a few requests at once. Any other answer is an error: what was sent is known exactly.
const [base, planText] = process.argv.slice(2);
const plan = JSON.parse(planText);
const AT_ONCE = 8;

const requests = plan
  .flatMap(([method, path, status, count]) =>
    Array.from({ length: count }, (_, i) => ({ method, path, status, place: (i + 0.5) / count })),
  )
  .sort((a, b) => a.place - b.place);

let next = 0;
async function worker() {
  while (next < requests.length) {
    const { method, path, status } = requests[next++];
    const response = await fetch(base + path, { method });
    await response.arrayBuffer();
    if (response.status !== status) {
      throw new Error(`${method} ${path}: ${response.status} instead of ${status}`);
    }
  }
}
await Promise.all(Array.from({ length: AT_ONCE }, worker));
console.log(`${requests.length} requests`);
