// SPDX-License-Identifier: Apache-2.0
// The real server, for the tests: started on a free port, ended when the test is over.
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const bin = process.env.NX_BIN_DIR ?? path.join(root, 'build/release/bin');
export const tools = createRequire(path.join(process.env.NX_JS_TOOLS ?? path.join(root, 'build/js-tools'), 'x'));

export const examples = path.join(root, 'examples');
export const SECRET = 'Xq3vT9kLm2Rw8YpZ5sUd7GhJ4bNc6Aef';

// Every implementation of WebSocket that there is here: the package ws, undici's, and the platform's own.
export const sockets = new Map([['ws', tools('ws')], ['undici', tools('undici').WebSocket]]);
if (globalThis.WebSocket) sockets.set('the platform', globalThis.WebSocket);
export const WebSocket = sockets.get('ws');

export const PANEL = {
  id: 'counter', kind: 'test', initialState: { count: 0, other: 0 },
  capabilities: ['state:read:*', 'state:write:*', 'events:emit:*', 'view:update:*', 'ext:time'],
  tools: [
    { name: 'increment', handler: "$state.count += 1; $emit('incremented', $state.count); return $state.count;" },
    { name: 'set', handler: '$state[$args.key] = $args.value;' },
    { name: 'remove', handler: 'delete $state[$args.key];' },
    { name: 'show', handler: "$view.focus('it'); $log.warn('shown');" },
    { name: 'fail', handler: "throw new Error('on purpose');" },
    { name: 'nap', handler: "$state.napping = true; await $ext.time.sleep($args.ms); return 'rested';" },
    { name: 'typed', args: { n: { type: 'number' } }, handler: 'return $args.n;' },
  ],
};

/** Starts a server; `t` is the test that it ends with. */
export async function start(t, env = {}, ...args) {
  const child = spawn(path.join(bin, 'nexus'), ['serve', ...args], {
    env: { PATH: process.env.PATH, HTTP_PORT: '0', WS_PORT: 'off', WORKERS: '1', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout });
  const exited = once(child, 'exit');
  const server = {
    url: undefined,
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      await exited;
    },
  };
  t.after(() => server.stop('SIGKILL'));
  await new Promise((resolve, reject) => {
    lines.on('line', (line) => {
      const entry = JSON.parse(line);
      if (entry.msg !== 'listening') return;
      server.url = entry.url;
      resolve();
    });
    lines.on('close', () => reject(new Error('the server did not start')));
  });
  return server;
}

const b64 = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

export function token(permissions, more = {}) {
  const payload = { sub: 'ada', exp: Math.floor(Date.now() / 1000) + 600, permissions, ...more };
  const signed = `${b64({ alg: 'HS256', typ: 'JWT' })}.${b64(payload)}`;
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`;
}

/** Waits until `condition` holds: for it, not for a time. */
export async function until(condition) {
  for (const end = Date.now() + 60_000; !(await condition()); await sleep(5))
    if (Date.now() > end) throw new Error(`never: ${condition}`);
}

/** A live panel that is closed with its test. */
export function connect(t, client, id = 'counter', options = {}) {
  const panel = client.connect(id, { minDelayMs: 20, maxDelayMs: 200, ...options });
  t.after(() => panel.close());
  return panel;
}
