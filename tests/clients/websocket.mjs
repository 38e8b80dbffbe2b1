// SPDX-License-Identifier: Apache-2.0
// A WebSocket that others wrote against a server with the counter panel.
// usage: node websocket.mjs ws|undici|platform HTTP-URL TOKEN
// environment: NX_JS_TOOLS  where the packages are
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const [, , name, base, token] = process.argv;
const tools = createRequire(`${process.env.NX_JS_TOOLS}/x`);
const Socket = { ws: () => tools('ws'), undici: () => tools('undici').WebSocket, platform: () => WebSocket }[name]();
const url = `${base.replace('http', 'ws')}/panels/counter/ws`;

/** A socket, its messages one by one, and how it ended. */
function open(protocols = ['nexus.v1', `bearer.${token}`], ...more) {
  const socket = new Socket(url, protocols, ...more);
  const messages = [], waiting = [];
  socket.addEventListener('message', ({ data }) => {
    const message = JSON.parse(data);
    waiting.length ? waiting.shift()(message) : messages.push(message);
  });
  return {
    socket,
    next: () => (messages.length ? Promise.resolve(messages.shift()) : new Promise((resolve) => waiting.push(resolve))),
    send: (message) => socket.send(JSON.stringify(message)),
    closed: new Promise((resolve) => socket.addEventListener('close', resolve)),
    refused: new Promise((resolve) => socket.addEventListener('error', resolve)),
  };
}

const one = open();
assert.deepEqual(await one.next(), { type: 'CONNECTED', panelId: 'counter', version: 1, state: { count: 0 } });
assert.equal(one.socket.protocol, 'nexus.v1');
assert.equal(one.socket.extensions, ''); // compression was offered, or not, and is not spoken
one.send({ type: 'TRIGGER', tool: 'increment', requestId: 'r', args: { by: 2 } });
assert.deepEqual((({ type, version, mutations }) => [type, version, mutations])(await one.next()),
  ['PATCH', 2, [{ operation: 'set', key: 'count', value: 2 }]]);
assert.equal((await one.next()).type, 'EVENT');
const result = await one.next();
assert.deepEqual([result.type, result.requestId, result.returnValue], ['RESULT', 'r', 2]);

// Suspension and a large text in both directions.
one.send({ type: 'TRIGGER', tool: 'nap', requestId: 'n', args: { ms: 10 } });
assert.equal((await one.next()).type, 'PROGRESS');
assert.equal((await one.next()).type, 'PATCH');
assert.equal((await one.next()).returnValue, 'rested');
one.send({ type: 'TRIGGER', tool: 'echo', args: { text: '€'.repeat(200_000) } });
assert.equal((await one.next()).returnValue.args.text.length, 200_000);
one.send({ type: 'PING' });
assert.deepEqual(await one.next(), { type: 'PONG' });
one.socket.send('nonsense');
assert.equal((await one.next()).code, 'INVALID_REQUEST');

// Ends: by this side, by what is too large, by bytes.
one.socket.close(1000, 'done');
assert.equal((await one.closed).code, 1000);
const large = open();
await large.next();
large.socket.send('x'.repeat(1024 * 1024 + 1));
assert.equal((await large.closed).code, 1009);
const bytes = open();
await bytes.next();
bytes.socket.send(new Uint8Array(3));
assert.equal((await bytes.closed).code, 1003);

// Who may.
await open(['nexus.v1']).refused;
await open(['nexus.v1', 'bearer.x.y.z']).refused;

if (name === 'ws') {
  const header = open(['nexus.v1'], { headers: { Authorization: `Bearer ${token}` } });
  await header.next();
  const pong = new Promise((resolve) => header.socket.on('pong', resolve));
  header.socket.ping('are you there');
  assert.equal(String(await pong), 'are you there');
  for (const [i, part] of ['{"type"', ':"PI', 'NG"}'].entries()) header.socket.send(part, { fin: i === 2 });
  assert.deepEqual(await header.next(), { type: 'PONG' });
  header.socket.close();
  const status = new Promise((resolve) => open(['nexus.v1']).socket.on('unexpected-response', (_, answer) => resolve(answer.statusCode)));
  assert.equal(await status, 401);
}
process.exit(0); // not every implementation lets go of a connection that was refused
