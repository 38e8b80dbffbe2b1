// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import test from 'node:test';

import { AuthenticationError, ConnectionError, NexusClient } from '../index.js';
import { backoffMs } from '../lib/backoff.js';
import { Mirror } from '../lib/mirror.js';
import { PANEL, SECRET, WebSocket, connect, examples, start, token, until } from './server.mjs';

async function open(t, options) {
  const server = await start(t);
  const client = new NexusClient(server.url, { WebSocket, ...options });
  await client.createPanel(PANEL);
  return { server, client };
}

/** A way to the server that can be cut, that can hold everything back, and that can lead to another. */
async function proxy(t, url) {
  let { port } = new URL(url);
  const pairs = new Set();
  let closed = false;
  const listener = net.createServer((near) => {
    if (closed) { near.destroy(); return; }
    const far = net.connect(port, '127.0.0.1');
    const pair = { near, far };
    pairs.add(pair);
    for (const [one, other] of [[near, far], [far, near]]) {
      one.on('error', () => {});
      one.on('close', () => { other.destroy(); pairs.delete(pair); });
      one.pipe(other);
    }
  }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const cut = () => { for (const { near } of pairs) near.destroy(); };
  t.after(() => { cut(); listener.close(); });
  return {
    url: `http://127.0.0.1:${listener.address().port}`,
    cut,
    closed(value) { closed = value; },
    leadsTo(another) { ({ port } = new URL(another)); },
    hold() { for (const { near, far } of pairs) { near.unpipe(); far.unpipe(); } },
  };
}

test('it connects again, with the state as it is then', async (t) => {
  const { server, client } = await open(t);
  const way = await proxy(t, server.url);
  const panel = connect(t, new NexusClient(way.url, { WebSocket }));
  const statuses = [];
  panel.on('status', ({ status }) => statuses.push(status));
  await panel.ready;
  const waiting = assert.rejects(panel.trigger('nap', { ms: 20_000 }), (error) =>
    error instanceof ConnectionError && error.mayHaveRun);
  await until(async () => (await client.getPanel('counter')).status === 'suspended');
  way.closed(true);
  way.cut();
  await waiting;
  await until(() => statuses.filter((status) => status === 'waiting').length >= 2); // tries that fail
  await client.trigger('counter', 'increment');
  const call = panel.trigger('increment'); // not sent yet: sent once there is a connection
  way.closed(false);
  assert.equal((await call).returnValue, 2);
  assert.deepEqual(panel.state, { count: 2, other: 0, napping: true });
  assert.equal(statuses.at(-1), 'open');
});

test('a server that is started again', async (t) => {
  const { server } = await open(t);
  // Where the client connects to stays the same. A port that is free again may be somebody else's.
  const way = await proxy(t, server.url);
  const panel = connect(t, new NexusClient(way.url, { WebSocket }));
  await panel.ready;
  for (let i = 0; i < 5; i++) await panel.trigger('increment');
  const lost = new Promise((resolve) => panel.on('status', ({ status }) => status === 'waiting' && resolve()));
  way.closed(true);
  await server.stop();
  await lost;
  way.leadsTo((await start(t, {}, '--panels', examples)).url);
  way.closed(false);
  await until(() => panel.status === 'open');
  assert.deepEqual([panel.version, panel.state], [1, { count: 0 }]); // counts from 1 again
  assert.equal((await panel.trigger('increment')).returnValue, 1);
});

/** The real socket, less the messages that `drop` picks. */
function lossy(drop) {
  return class extends WebSocket {
    set onmessage(listener) { super.onmessage = (event) => drop(JSON.parse(event.data)) || listener(event); }
  };
}

test('a gap asks for the state again', async (t) => {
  let drop = false;
  const { client } = await open(t, { WebSocket: lossy(({ type }) => drop && type === 'PATCH') });
  const panel = connect(t, client);
  await panel.ready;
  const causes = [];
  panel.on('state', ({ cause, version }) => causes.push([cause, version]));
  drop = true;
  await panel.trigger('increment');
  await panel.trigger('set', { key: 'other', value: 7 });
  drop = false;
  assert.equal(panel.version, 1);
  await panel.trigger('increment');
  await until(() => panel.version === 4);
  assert.deepEqual(panel.state, { count: 2, other: 7 });
  assert.deepEqual(causes, [['refetched', 4]]);
  await panel.trigger('increment');
  await until(() => panel.version === 5);
  assert.deepEqual(causes.at(-1), ['patch', 5]);
});

test('a server that falls silent', async (t) => {
  const { server } = await open(t);
  const way = await proxy(t, server.url);
  const panel = connect(t, new NexusClient(way.url, { WebSocket }), 'counter', { heartbeatMs: 1000 });
  await panel.ready;
  const silent = new Promise((resolve) => panel.on('status', ({ error }) => error && resolve(error)));
  way.hold();
  assert.match((await silent).message, /silent/);
  await until(() => panel.status === 'open');
  assert.equal((await panel.trigger('increment')).returnValue, 1);
});

test('a page that stood still does not blame the server', async (t) => {
  const { client } = await open(t);
  const panel = connect(t, client, 'counter', { heartbeatMs: 1000 });
  await panel.ready;
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2500);
  const statuses = [];
  panel.on('status', ({ status }) => statuses.push(status));
  assert.equal((await panel.trigger('increment')).returnValue, 1);
  assert.deepEqual(statuses, []);
});

test('a token that expires while connected', async (t) => {
  const server = await start(t, { AUTH_ENABLED: 'true', JWT_SECRET: SECRET });
  await new NexusClient(server.url, { token: token(['*']) }).createPanel(PANEL);
  // The server forgives 30 seconds: three or four are left, for a busy machine to connect in.
  const short = () => token(['*'], { exp: Math.floor(Date.now() / 1000) - 26 });
  const fixed = connect(t, new NexusClient(server.url, { WebSocket, token: short() }));
  await fixed.ready;
  let asked = 0;
  const renewed = connect(t, new NexusClient(server.url, { WebSocket, token: () => (asked++ ? token(['*']) : short()) }));
  await renewed.ready;
  await until(() => fixed.status === 'closed');
  assert.ok(fixed.error instanceof AuthenticationError);
  await until(() => asked >= 2 && renewed.status === 'open');
  assert.equal((await renewed.trigger('increment')).returnValue, 1);
});

test('no more tries than allowed', async (t) => {
  const panel = connect(t, new NexusClient('http://127.0.0.1:9', { WebSocket }), 'counter', { maxAttempts: 2, minDelayMs: 1 });
  let waits = 0;
  panel.on('status', ({ status }) => { waits += status === 'waiting'; });
  await assert.rejects(panel.ready, ConnectionError);
  assert.equal(waits, 2);
});

test('without a WebSocket', async (t) => {
  const own = globalThis.WebSocket;
  globalThis.WebSocket = undefined;
  t.after(() => { globalThis.WebSocket = own; });
  await assert.rejects(connect(t, new NexusClient('http://127.0.0.1:9')).ready, /pass one/);
});

test('waits grow, up to a limit, by chance', () => {
  const limits = { baseMs: 100, maxMs: 1000 };
  assert.deepEqual([0, 1, 2, 3, 4, 50, 5000].map((n) => backoffMs(n, limits, () => 1)), [100, 200, 400, 800, 1000, 1000, 1000]);
  assert.equal(backoffMs(3, limits, () => 0), 400);
  assert.ok(new Set(Array.from({ length: 20 }, () => backoffMs(5, limits))).size > 10);
});

test('patches that come while the state is asked for', () => {
  const changes = [];
  let gaps = 0;
  const mirror = new Mirror({
    maxKept: 3, onChange: ({ cause, version }) => changes.push(`${cause} ${version}`), onGap: () => gaps++ });
  const patch = (version) => mirror.patch({ version, mutations: [{ operation: 'set', key: 'v', value: version }] });
  mirror.replace({ v: 1 }, 1, 'connected');
  patch(2);
  patch(2); // known
  patch(4); // a gap
  patch(5);
  mirror.replace({ v: 4 }, 4, 'refetched');
  assert.deepEqual(changes, ['connected 1', 'patch 2', 'refetched 4', 'patch 5']);
  assert.deepEqual(mirror.state, { v: 5 });
  for (const version of [7, 8, 9, 10, 11]) patch(version); // 9, 10 and 11 are kept
  assert.ok(gaps >= 2);
  mirror.replace({ v: 6 }, 6, 'refetched'); // asked for before 7: there is a gap still
  assert.equal(mirror.version, 6);
  mirror.replace({ v: 9 }, 9, 'refetched');
  assert.equal(mirror.version, 11);
  mirror.replace({ v: 3 }, 3, 'refetched'); // older than what is known
  assert.equal(mirror.version, 11);
  mirror.replace({ v: 1 }, 1, 'connected');
  assert.equal(mirror.version, 1);
});
