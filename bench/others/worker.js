// SPDX-License-Identifier: Apache-2.0
// The counter in workerd. One isolate serves every request and every panel: nothing is pristine.
const states = new Map();

export default {
  async fetch(request) {
    const panel = new URL(request.url).pathname.split('/')[2];
    await request.json();
    const state = states.get(panel) ?? { counter: 0 };
    states.set(panel, state);
    state.counter = (state.counter || 0) + 1;
    return Response.json({ status: 'success', mutations: [{ operation: 'set', key: 'counter', value: state.counter }] });
  },
};
