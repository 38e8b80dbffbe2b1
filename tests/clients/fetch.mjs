// SPDX-License-Identifier: Apache-2.0
// Node.js' own fetch against a server with the counter panel. usage: node fetch.mjs URL
import assert from 'node:assert/strict';

const base = process.argv[2];
const trigger = (tool, args, more = {}) => fetch(`${base}/panels/counter/trigger/${tool}`, {
  method: 'POST', headers: { 'Content-Type': 'application/json', ...more.headers }, body: JSON.stringify(args), ...more });

// One after the other, then many at once.
assert.equal((await (await trigger('increment', {})).json()).returnValue, 1);
const many = await Promise.all(Array.from({ length: 50 }, async () => (await (await trigger('increment', {})).json()).returnValue));
assert.deepEqual(many.sort((a, b) => a - b), Array.from({ length: 50 }, (_, i) => i + 2));

// Conditional requests, HEAD, OPTIONS.
const state = await fetch(`${base}/panels/counter/state`);
assert.equal((await state.json()).state.count, 51);
const again = await fetch(`${base}/panels/counter/state`, { headers: { 'If-None-Match': state.headers.get('ETag') } });
assert.deepEqual([again.status, await again.text()], [304, '']);
const head = await fetch(`${base}/panels/counter/state`, { method: 'HEAD' });
assert.deepEqual([head.status, head.headers.get('ETag'), await head.text()], [200, state.headers.get('ETag'), '']);
assert.equal((await fetch(`${base}/panels`, { method: 'OPTIONS' })).headers.get('Allow'), 'GET, HEAD, POST, OPTIONS');

// A body of unknown length is chunked.
const stream = new ReadableStream({
  start(controller) {
    for (const part of ['{"text"', ':"', 'x'.repeat(100_000), '"}']) controller.enqueue(new TextEncoder().encode(part));
    controller.close();
  },
});
const measured = await fetch(`${base}/panels/counter/trigger/measure`, {
  method: 'POST', body: stream, duplex: 'half', headers: { 'Content-Type': 'application/json' } });
assert.equal((await measured.json()).returnValue, 100_000);

// A large answer; a request that is given up; and the connection after it.
assert.equal((await (await trigger('big', { size: 900_000 })).json()).returnValue.length, 900_000);
await assert.rejects(trigger('nap', { ms: 1_000 }, { signal: AbortSignal.timeout(50) }), { name: 'TimeoutError' });
assert.equal((await trigger('none', {})).status, 404);
assert.equal((await (await trigger('echo', { ü: '€' })).json()).returnValue.args.ü, '€');
