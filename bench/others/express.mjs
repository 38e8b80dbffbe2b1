// SPDX-License-Identifier: Apache-2.0
// A server as one would write it today: Express, and for each trigger a new context of
// quickjs-emscripten with the counter handler. Prints the port it listens on.
import express from 'express';
import { getQuickJS } from 'quickjs-emscripten';

const HANDLER = '$state.counter = ($state.counter || 0) + 1';
const QuickJS = await getQuickJS();
const states = new Map();

function run(panel) {
  const context = QuickJS.newContext();
  try {
    const state = JSON.stringify(states.get(panel) ?? { counter: 0 });
    const code = `const $state = ${state}; ${HANDLER}; JSON.stringify($state)`;
    const result = context.unwrapResult(context.evalCode(code));
    states.set(panel, JSON.parse(context.getString(result)));
    result.dispose();
  } finally {
    context.dispose();
  }
}

const app = express();
app.disable('x-powered-by').disable('etag');
app.post('/panels/:panel/trigger/:tool', express.json(), (request, response) => {
  run(request.params.panel);
  const { counter } = states.get(request.params.panel);
  response.json({ status: 'success', mutations: [{ operation: 'set', key: 'counter', value: counter }] });
});
const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port));
