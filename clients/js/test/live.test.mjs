// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import test from 'node:test';

import {
  AuthenticationError, ClosedError, ExecutionError, NexusClient, NotFoundError, PermissionError, QueueFullError,
  RequestError, TimeoutError,
} from '../index.js';
import { PANEL, SECRET, WebSocket, connect, sockets, start, token, until } from './server.mjs';

async function open(t, options, env) {
  const server = await start(t, env);
  const client = new NexusClient(server.url, { WebSocket, ...options });
  await client.createPanel(PANEL);
  return { server, client };
}

for (const [name, Socket] of sockets)
  test(`a conversation over ${name}`, async (t) => {
    const { client } = await open(t, { WebSocket: Socket });
    const panel = connect(t, client);
    const seen = [];
    panel.on('state', ({ version, cause, state }) => seen.push([cause, version, state.count]));
    panel.on('event', (event) => seen.push([event.name, event.payload]));
    assert.equal(panel.status, 'connecting');
    assert.equal(await panel.ready, panel);
    assert.equal(panel.status, 'open');
    const before = panel.state;
    const result = await panel.trigger('increment');
    assert.deepEqual([result.status, result.returnValue], ['success', 1]);
    assert.equal('requestId' in result, false);
    await client.trigger('counter', 'increment'); // somebody else's
    await until(() => panel.version === 3);
    await until(() => seen.length === 5);
    assert.deepEqual(seen, [['connected', 1, 0], ['patch', 2, 1], ['incremented', 1], ['patch', 3, 2], ['incremented', 2]]);
    assert.deepEqual([before.count, panel.state.count], [0, 2]); // each change is a new object
    await panel.close();
    assert.deepEqual([panel.status, panel.error], ['closed', undefined]);
    await until(async () => (await client.getPanel('counter')).clientCount === 0);
  });

test('calls', async (t) => {
  const { client } = await open(t);
  const panel = connect(t, client);
  const progress = [];
  const rested = panel.trigger('nap', { ms: 20 }, { onProgress: (message) => progress.push(message.suspension.calls[0].method) });
  assert.equal((await rested).returnValue, 'rested');
  assert.deepEqual(progress, ['sleep']);
  await assert.rejects(panel.trigger('fail'), (error) =>
    error instanceof ExecutionError && error.code === 'EXECUTION_ERROR' && error.result.status === 'error');
  await assert.rejects(panel.trigger('none'), (error) => error instanceof NotFoundError && error.code === 'TOOL_NOT_FOUND');
  await assert.rejects(panel.trigger('typed', { n: 'x' }), (error) => error instanceof RequestError && error.status === 0);
  assert.deepEqual(await Promise.all(Array.from({ length: 200 }, async () => (await panel.trigger('increment')).returnValue)),
    Array.from({ length: 200 }, (_, i) => i + 1)); // more than the server takes at once, in order
});

test('calls that are called off', async (t) => {
  const { client } = await open(t);
  const panel = connect(t, client);
  await panel.ready;
  await assert.rejects(panel.trigger('nap', { ms: 20_000 }, { timeoutMs: 50 }), (error) =>
    error instanceof TimeoutError && error.mayHaveRun);
  const controller = new AbortController();
  const waiting = panel.trigger('nap', { ms: 20_000 }, { signal: controller.signal, onProgress: () => controller.abort(new Error('off')) });
  await assert.rejects(waiting, /off/);
  // Both were cancelled at the server.
  await until(async () => (await client.getPanel('counter')).status === 'active');
  assert.equal((await panel.trigger('increment')).returnValue, 1);
});

test('what waits is bounded', async (t) => {
  const { client } = await open(t);
  const panel = connect(t, client, 'counter', { maxQueued: 2, maxInFlight: 1 });
  const calls = [1, 2, 3].map(() => panel.trigger('increment')); // not open yet: all wait
  await assert.rejects(calls[2], QueueFullError);
  assert.deepEqual([(await calls[0]).returnValue, (await calls[1]).returnValue], [1, 2]);
});

test('topics and keys', async (t) => {
  const { client } = await open(t);
  const panel = connect(t, client, 'counter', { topics: ['state', 'view', 'logs'], keys: ['count'] });
  const seen = [];
  for (const name of ['event', 'view', 'log']) panel.on(name, (value) => seen.push([name, value.command ?? value.message]));
  await panel.ready;
  await panel.trigger('show');
  await panel.trigger('increment');
  assert.deepEqual(seen.sort(), [['log', 'shown'], ['view', 'focus']]);
  // `other` is not told of, but the version moves on, so nothing is missed.
  await client.trigger('counter', 'set', { key: 'other', value: 5 });
  await until(() => panel.version === 3);
  assert.deepEqual(panel.state, { count: 1, other: 0 });
  const causes = [];
  panel.on('state', ({ cause }) => causes.push(cause));
  // What was not told of comes at once: as the server's RESYNC, which the client need not wait for.
  panel.subscribe({ topics: ['events'], keys: ['other'] });
  await until(() => panel.state.other === 5);
  // The client asks as well. Its answer is waited for: later on it would tell of what comes now.
  await until(() => causes.includes('refetched'));
  assert.ok(causes.every((cause) => ['resync', 'refetched'].includes(cause)));
  await panel.trigger('increment');
  await until(() => seen.some(([name]) => name === 'event'));
  panel.unsubscribe({ topics: ['state'] });
  await panel.trigger('increment');
  await panel.trigger('increment');
  assert.equal(panel.version, 4); // not told
  panel.subscribe({ topics: ['state'] });
  await until(() => panel.version === 6);
  assert.equal(panel.state.count, 4);
  assert.throws(() => panel.subscribe({ topics: ['everything'] }), TypeError);
});

test('keys that mean something to JavaScript', async (t) => {
  const { client } = await open(t);
  const panel = connect(t, client);
  await panel.ready;
  await panel.trigger('set', { key: 'toString', value: 1 });
  await panel.trigger('set', { key: '__proto__', value: { polluted: true } });
  await until(() => panel.version === 3);
  assert.deepEqual(Object.keys(panel.state).sort(), ['__proto__', 'count', 'other', 'toString']);
  assert.equal(panel.state.polluted, undefined);
  await panel.trigger('remove', { key: '__proto__' });
  await until(() => panel.version === 4);
  assert.deepEqual(Object.keys(panel.state).sort(), ['count', 'other', 'toString']);
});

test('a listener that fails hurts nobody else', async (t) => {
  const { client } = await open(t);
  const panel = connect(t, client);
  const failed = new Promise((resolve) => { globalThis.reportError = resolve; });
  t.after(() => { delete globalThis.reportError; });
  let heard = 0;
  panel.on('event', () => { throw new Error('mine'); });
  const off = panel.on('event', () => heard++);
  await panel.trigger('increment');
  assert.equal((await failed).message, 'mine');
  await until(() => heard === 1);
  off();
  assert.equal((await panel.trigger('increment')).returnValue, 2);
  assert.equal(heard, 1);
});

test('a deleted panel', async (t) => {
  const { client } = await open(t);
  const panel = connect(t, client);
  await panel.ready;
  const waiting = panel.trigger('nap', { ms: 20_000 });
  const cancelled = assert.rejects(waiting, { code: 'CANCELLED' });
  await until(async () => (await client.getPanel('counter')).status === 'suspended');
  await client.deletePanel('counter');
  await cancelled;
  await until(() => panel.status === 'closed');
  assert.ok(panel.error instanceof ClosedError && /deleted/.test(panel.error.message));
  await assert.rejects(panel.trigger('increment'), ClosedError);
  const none = connect(t, client, 'none');
  await assert.rejects(none.ready, NotFoundError);
});

test('closing rejects what waits', async (t) => {
  const { client } = await open(t);
  const panel = connect(t, client);
  const early = panel.trigger('increment');
  panel.close();
  await assert.rejects(early, ClosedError);
  await assert.rejects(panel.ready, ClosedError);
  const other = connect(t, client);
  await other.ready;
  const sent = other.trigger('nap', { ms: 20_000 });
  await until(async () => (await client.getPanel('counter')).status === 'suspended');
  const rejected = assert.rejects(sent, { code: 'CONNECTION', mayHaveRun: true });
  await other.close();
  await rejected;
});

for (const [name, wsAuth] of [['ws', 'header'], ['ws', 'subprotocol'], ['ws', 'ticket'], ['undici', 'subprotocol'], ['undici', 'ticket']])
  test(`a token by ${wsAuth}, with ${name}`, async (t) => {
    const server = await start(t, { AUTH_ENABLED: 'true', JWT_SECRET: SECRET });
    const options = { WebSocket: sockets.get(name), wsAuth };
    const client = new NexusClient(server.url, { ...options, token: async () => token(['*']) });
    await client.createPanel(PANEL);
    const panel = connect(t, client);
    assert.equal((await panel.trigger('increment')).returnValue, 1);
    const reader = connect(t, new NexusClient(server.url, { ...options, token: token(['panel:read']) }));
    await reader.ready;
    await assert.rejects(reader.trigger('increment'), PermissionError);
    for (const [bad, Class] of [[undefined, AuthenticationError], ['x.y.z', AuthenticationError], [token(['panel:create']), PermissionError]])
      await assert.rejects(connect(t, new NexusClient(server.url, { ...options, token: bad })).ready, Class);
  });
