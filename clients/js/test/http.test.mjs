// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import test from 'node:test';

import {
  AuthenticationError, ConflictError, ConnectionError, ExecutionError, NexusClient, NotFoundError, OverloadedError,
  PermissionError, RequestError, TimeoutError,
} from '../index.js';
import { PANEL, SECRET, start, token, until } from './server.mjs';

const rejects = (promise, Class, fields) => assert.rejects(promise, (error) => {
  assert.equal(error.constructor, Class, error);
  assert.equal(error.name, Class.name);
  for (const [name, value] of Object.entries(fields)) assert.deepEqual(error[name], value, name);
  assert.ok(error.message);
  return true;
});

test('panels', async (t) => {
  const server = await start(t, { MAX_PANELS: '6' });
  const client = new NexusClient(`${server.url}/`);

  const created = await client.createPanel(PANEL);
  assert.equal(created.id, 'counter');
  assert.equal(created.wsUrl, `${server.url.replace('http', 'ws')}/panels/counter/ws`);
  assert.equal((await client.createPanel('<NexusPanel id="x" title="X"/>')).id, 'x');
  assert.equal((await client.createPanel({ id: 's', source: '<NexusPanel/>' })).id, 's');
  await rejects(client.createPanel(PANEL), ConflictError, { status: 409, code: 'PANEL_EXISTS' });
  await assert.rejects(client.createPanel('<NexusPanel>\n <Bad/>\n</NexusPanel>'), (error) => {
    assert.deepEqual([error.status, error.code, error.details.line, error.details.column], [400, 'INVALID_NXML', 2, 2]);
    return error.constructor === RequestError && /^[0-9a-f]{24}$/.test(error.requestId);
  });

  const page = await client.listPanels({ limit: 2 });
  assert.deepEqual(page.panels.map(({ id }) => id), ['counter', 's']);
  assert.equal((await client.listPanels({ after: 's' })).panels[0].id, 'x');
  const all = [];
  for await (const { id } of client.panels()) all.push(id);
  assert.deepEqual(all, ['counter', 's', 'x']);
  assert.equal((await client.getPanel('counter')).tools.length, PANEL.tools.length);

  for (const id of ['a', 'b', 'c']) await client.createPanel({ id, kind: 'k', tools: [] });
  await rejects(client.createPanel({ id: 'd', kind: 'k', tools: [] }), RequestError,
    { status: 429, code: 'RESOURCE_LIMIT', retryAfterMs: 1000 });
  await client.deletePanel('x');
  await rejects(client.getPanel('x'), NotFoundError, { status: 404, code: 'PANEL_NOT_FOUND' });
});

test('many pages', async (t) => {
  const client = new NexusClient((await start(t)).url);
  const ids = Array.from({ length: 1005 }, (_, i) => `p${String(i).padStart(4, '0')}`);
  for (let i = 0; i < ids.length; i += 50)
    await Promise.all(ids.slice(i, i + 50).map((id) => client.createPanel({ id, kind: 'k', tools: [] })));
  const all = [];
  for await (const { id } of client.panels()) all.push(id);
  assert.deepEqual(all, ids);
});

test('state and triggers', async (t) => {
  const client = new NexusClient((await start(t)).url);
  await client.createPanel(PANEL);
  const result = await client.trigger('counter', 'increment');
  assert.deepEqual([result.status, result.returnValue, result.events], ['success', 1, [{ name: 'incremented', payload: 1 }]]);
  assert.deepEqual(await client.getState('counter'), { panelId: 'counter', version: 2, state: { count: 1, other: 0 } });
  assert.equal(await client.getState('counter', { ifNot: 2 }), null);
  assert.equal((await client.getState('counter', { ifNot: 1 })).version, 2);

  const once = () => client.trigger('counter', 'increment', {}, { idempotencyKey: 'k' });
  assert.deepEqual([(await once()).returnValue, (await once()).returnValue], [2, 2]);
  await rejects(client.trigger('counter', 'increment', { x: 1 }, { idempotencyKey: 'k' }), ConflictError, { status: 422 });

  const suspended = await client.trigger('counter', 'nap', { ms: 10 }, { respondAsync: true });
  assert.deepEqual([suspended.status, suspended.suspension.calls[0].method], ['suspended', 'sleep']);
  assert.equal((await client.trigger('counter', 'nap', { ms: 10 })).returnValue, 'rested');

  await assert.rejects(client.trigger('counter', 'fail'), (error) =>
    error instanceof ExecutionError && error.code === 'EXECUTION_ERROR' && error.result.error.location.line > 0);
  await rejects(client.trigger('counter', 'typed', { n: 'x' }), RequestError, { status: 400, code: 'INVALID_REQUEST' });
  await rejects(client.trigger('counter', 'none', {}, { requestId: 'mine' }), NotFoundError,
    { code: 'TOOL_NOT_FOUND', requestId: 'mine' });
});

test('time limits and signals', async (t) => {
  const client = new NexusClient((await start(t)).url, { timeoutMs: 5000 });
  await client.createPanel(PANEL);
  const nap = (options) => client.trigger('counter', 'nap', { ms: 5000 }, options);
  await rejects(nap({ timeoutMs: 50 }), TimeoutError, { code: 'CLIENT_TIMEOUT', mayHaveRun: true });
  const reason = new Error('enough');
  const controller = new AbortController();
  const waiting = nap({ signal: controller.signal });
  await until(async () => (await client.getPanel('counter')).status === 'suspended');
  controller.abort(reason);
  await assert.rejects(waiting, reason);
  await assert.rejects(nap({ signal: AbortSignal.abort(reason) }), reason);
});

test('tokens', async (t) => {
  const server = await start(t, { AUTH_ENABLED: 'true', JWT_SECRET: SECRET });
  await rejects(new NexusClient(server.url).listPanels(), AuthenticationError, { status: 401, code: 'UNAUTHORIZED' });
  await rejects(new NexusClient(server.url, { token: token([]) }).listPanels(), PermissionError, { status: 403 });
  assert.equal((await new NexusClient(server.url, { token: token(['panel:read']) }).listPanels()).total, 0);
  let asked = 0;
  const client = new NexusClient(server.url, { token: async () => { asked++; return token(['*']); } });
  await client.createPanel(PANEL);
  await client.getPanel('counter');
  assert.equal(asked, 2);
  const cause = new Error('signed out');
  const out = new NexusClient(server.url, { token: () => { throw cause; } });
  await assert.rejects(out.listPanels(), (error) => error.code === 'TOKEN' && error.cause === cause);
});

test('no answer, and answers of others', async (t) => {
  const server = await start(t);
  const client = new NexusClient(server.url);
  await client.createPanel(PANEL);
  const answer = (body, init) => new NexusClient(server.url, { fetch: async () => new Response(body, init) });
  await rejects(answer('<html>', { status: 502 }).listPanels(), RequestError, { status: 502, code: 'HTTP_502' });
  await rejects(answer('{"error":{"code":"OVERLOADED","message":"m"}}', { status: 503, headers: { 'Retry-After': '2' } })
    .listPanels(), OverloadedError, { retryAfterMs: 2000 });
  await assert.rejects(answer('<html>', { status: 200 }).listPanels(), { code: 'PROTOCOL' });
  const waiting = client.trigger('counter', 'nap', { ms: 20_000 });
  await until(async () => (await client.getPanel('counter')).status === 'suspended');
  await Promise.all([rejects(waiting, ConnectionError, { mayHaveRun: true }), server.stop('SIGKILL')]);
  await rejects(client.listPanels(), ConnectionError, { code: 'CONNECTION', mayHaveRun: false });
});

test('arguments that make no sense', () => {
  assert.throws(() => new NexusClient('ftp://x'), TypeError);
  assert.throws(() => new NexusClient('nonsense'), TypeError);
  assert.throws(() => new NexusClient('http://x', { wsAuth: 'magic' }), TypeError);
  const client = new NexusClient('http://127.0.0.1:1');
  for (const id of ['', '../metrics', 'a b', undefined]) {
    assert.throws(() => client.getPanel(id), TypeError);
    assert.throws(() => client.connect(id), TypeError);
  }
});
