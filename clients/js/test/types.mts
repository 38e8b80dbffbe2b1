// SPDX-License-Identifier: Apache-2.0
// Not run: the type checker reads it. A line that should be an error and is none is an error as well.
import { ExecutionError, LivePanel, NexusClient, RequestError, type PanelDefinition } from '../index.js';

interface Counter { count: number }

const definition: PanelDefinition = {
  kind: 'demo',
  tools: [{ name: 'add', handler: 'return 1', args: { n: { type: 'number' } }, trigger: { type: 'interval', ms: 100 } }],
};
// @ts-expect-error: a kind is a must
const noKind: PanelDefinition = { tools: [] };
// @ts-expect-error: an interval has no pattern
const badTrigger: PanelDefinition = { kind: 'k', tools: [{ name: 'a', handler: '', trigger: { type: 'interval', pattern: '*' } }] };

export async function use(client: NexusClient): Promise<number> {
  new NexusClient('http://h', { token: async () => 'x', WebSocket });
  // @ts-expect-error: no such way
  new NexusClient('http://h', { wsAuth: 'cookie' });
  const { id } = await client.createPanel(definition);
  const { state, version } = await client.getState<Counter>(id);
  const newer = await client.getState<Counter>(id, { ifNot: version });
  // @ts-expect-error: it may not have changed
  newer.state;
  const result = await client.trigger<number>(id, 'add');
  const sum: number = state.count + (result.returnValue ?? 0);
  // @ts-expect-error: a result that was waited for is not suspended
  result.suspension;
  const first = await client.trigger(id, 'add', {}, { respondAsync: true });
  if (first.status === 'suspended') first.suspension.calls[0]?.args;
  for await (const { clientCount } of client.panels()) clientCount.toFixed();

  const panel: LivePanel<Counter> = client.connect<Counter>(id, { topics: ['state', 'logs'] });
  // @ts-expect-error: no such topic
  client.connect(id, { topics: ['everything'] });
  // @ts-expect-error: panels are connected to
  new LivePanel();
  const off: () => void = panel.on('state', ({ state, cause }) => { state.count.toFixed(); cause.length; });
  // @ts-expect-error: no such event
  panel.on('patch', () => {});
  off();
  panel.on('status', (now) => { if (now.status === 'waiting') now.delayMs.toFixed(); });
  await (await panel.ready).trigger('add', {}, { onProgress: ({ suspension }) => suspension.calls });
  // @ts-expect-error: not there before the first connection
  panel.state.count;
  try {
    await panel.close();
  } catch (error) {
    if (error instanceof ExecutionError) error.result.error.location?.line.toFixed();
    if (error instanceof RequestError) error.details?.diagnostics.length;
  }
  return sum;
}
