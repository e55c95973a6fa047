// BullMQ's side of `cargo xtask bench queue --peers`: one verb a run, its result as a line of JSON.
//
//     bullmq_peer.mjs fill|single|drain|latency REDIS_URL JOBS
//
// One process, concurrency 50, completed jobs removed; all else is BullMQ's default.

import { Queue, Worker } from 'bullmq';

const [verb, url, count] = process.argv.slice(2);
const jobs = Number(count);
const { hostname: host, port } = new URL(url);
const connection = { host, port: Number(port), maxRetriesPerRequest: null };
const BULK = 1000;
const CALLERS = 2;

const seconds = (since) => Number(process.hrtime.bigint() - since) / 1e9;
const cpuSeconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

// Data of 200 bytes of JSON.
function data(n) {
  const bare = JSON.stringify({ n, pad: '' }).length;
  return { n, pad: 'x'.repeat(200 - bare) };
}

const queue = new Queue('bench', { connection, defaultJobOptions: { removeOnComplete: true } });

async function fill() {
  await queue.waitUntilReady();
  const start = process.hrtime.bigint();
  const caller = async (number) => {
    for (let from = number * BULK; from < jobs; from += CALLERS * BULK) {
      const upto = Math.min(jobs, from + BULK);
      await queue.addBulk(Array.from({ length: upto - from }, (_, i) => ({ name: 'note', data: data(from + i) })));
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, (_, number) => caller(number)));
  return { seconds: seconds(start) };
}

async function single() {
  await queue.waitUntilReady();
  const start = process.hrtime.bigint();
  for (let n = 0; n < jobs; n += 1) await queue.add('note', data(n));
  return { seconds: seconds(start) };
}

async function drain() {
  const seen = new Uint8Array(jobs);
  let acked = 0;
  const run = async (job) => {
    seen[job.data.n] += 1;
  };
  const worker = new Worker('bench', run, { connection, concurrency: 50, autorun: false });
  await worker.waitUntilReady();
  const done = new Promise((resolve) => {
    worker.on('completed', () => {
      acked += 1;
      if (acked === jobs) resolve();
    });
  });
  const start = process.hrtime.bigint();
  const cpu = cpuSeconds();
  worker.run();
  await done;
  const took = seconds(start);
  const used = cpuSeconds() - cpu;
  const { waiting, active } = await queue.getJobCounts('waiting', 'active');
  await worker.close();
  const ran = seen.reduce((sum, times) => sum + (times > 0 ? 1 : 0), 0);
  const twice = seen.reduce((sum, times) => sum + Math.max(0, times - 1), 0);
  return { rate: jobs / took, cpu_seconds: used, ran, twice, left: waiting + active };
}

async function latency() {
  const warm = 20;
  const sent = [];
  const waits = [];
  let finish;
  const done = new Promise((resolve) => (finish = resolve));
  const run = async (job) => {
    waits.push(Number(process.hrtime.bigint() - sent[job.data.n]) / 1e6);
    if (waits.length === jobs + warm) finish();
  };
  const worker = new Worker('bench', run, { connection, concurrency: 50 });
  await worker.waitUntilReady();
  const begin = performance.now();
  for (let n = 0; n < jobs + warm; n += 1) {
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, begin + n * 10 - performance.now())));
    sent.push(process.hrtime.bigint());
    await queue.add('note', data(n));
  }
  await done;
  await worker.close();
  const sorted = waits.slice(warm).sort((a, b) => a - b);
  return { p50_ms: sorted[Math.floor(jobs / 2)], p99_ms: sorted[Math.floor(jobs * 0.99)] };
}

const result = await { fill, single, drain, latency }[verb]();
await queue.close();
console.log(JSON.stringify(result));
process.exit(0);
