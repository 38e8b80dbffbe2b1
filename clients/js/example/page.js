// SPDX-License-Identifier: Apache-2.0
// Shows a panel, its state as it changes, and a button for each tool.
// In the page's address: ?server=http://127.0.0.1:3000&panel=counter
import { NexusClient } from '../index.js';

const query = new URLSearchParams(location.search);
const id = query.get('panel') ?? 'counter';
const client = new NexusClient(query.get('server') ?? 'http://127.0.0.1:3000');
const element = (name) => document.getElementById(name);
const text = (value) => JSON.stringify(value, null, 2) ?? '';

function say(line) {
  // Text, never markup: names and values are the panel's.
  element('log').textContent = [line, ...element('log').textContent.split('\n')].slice(0, 50).join('\n');
}

async function run(panel, tool) {
  try {
    // Asks for arguments where the tool declares some without a default.
    const args = tool.args.some(({ required }) => required)
      ? JSON.parse(prompt(`Arguments of ${tool.name}, as JSON`, '{}') ?? 'null') : {};
    if (args) say(`${tool.name} → ${text((await panel.trigger(tool.name, args)).returnValue)}`);
  } catch (error) {
    say(`${tool.name}: ${error.code ?? error.name}: ${error.message}`);
  }
}

const panel = client.connect(id);
panel.on('state', ({ state }) => { element('state').textContent = text(state); });
panel.on('event', ({ name, payload }) => say(`event ${name} ${text(payload)}`));
panel.on('status', ({ status, error }) => { element('status').textContent = error ? `${status}: ${error.message}` : status; });
const { title, tools } = await client.getPanel(id);
element('title').textContent = title;
element('tools').append(...tools.map((tool) => {
  const button = document.createElement('button');
  button.textContent = tool.name;
  button.title = tool.description ?? '';
  button.addEventListener('click', () => run(panel, tool));
  return button;
}));
