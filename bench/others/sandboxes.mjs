// SPDX-License-Identifier: Apache-2.0
// The counter handler in other sandboxes, pristine for every call: microseconds per call, one line
// "NAME\tNANOSECONDS" for each and every round. The state is kept outside, as JSON, and reached by
// functions of the host, as in Nexus.
// usage: node sandboxes.mjs ROUNDS
import ivm from 'isolated-vm';
import { getQuickJS } from 'quickjs-emscripten';

const BODY = 'const n = JSON.parse(get("counter")); set("counter", JSON.stringify((n || 0) + 1));';
const state = new Map();
const read = (key) => state.get(key) ?? 'null';
const write = (key, json) => { state.set(key, json); };

const QuickJS = await getQuickJS();

// A new context of one WebAssembly instance: other contexts share its memory.
export function quickjsContext() {
  const context = QuickJS.newContext();
  const get = context.newFunction('get', (key) => context.newString(read(context.getString(key))));
  const set = context.newFunction('set', (key, json) => { write(context.getString(key), context.getString(json)); });
  context.setProp(context.global, 'get', get);
  context.setProp(context.global, 'set', set);
  context.unwrapResult(context.evalCode(BODY)).dispose();
  get.dispose();
  set.dispose();
  context.dispose();
}

function inContext(isolate, script) {
  const context = isolate.createContextSync();
  context.global.setSync('get', new ivm.Callback(read));
  context.global.setSync('set', new ivm.Callback(write));
  script.runSync(context);
  context.release();
}

export function isolatedVmIsolate() {
  const isolate = new ivm.Isolate({ memoryLimit: 32 });
  inContext(isolate, isolate.compileScriptSync(BODY));
  isolate.dispose();
}

const shared = new ivm.Isolate({ memoryLimit: 128 });
const compiled = shared.compileScriptSync(BODY);
export const isolatedVmContext = () => inContext(shared, compiled);

function nanosecondsPerCall(call, calls) {
  const begun = process.hrtime.bigint();
  for (let i = 0; i < calls; i++) call();
  return Number(process.hrtime.bigint() - begun) / calls;
}

const subjects = [['quickjs-emscripten, new context', quickjsContext, 400],
  ['isolated-vm, new isolate', isolatedVmIsolate, 60], ['isolated-vm, new context', isolatedVmContext, 300]];
for (const [, call] of subjects) nanosecondsPerCall(call, 30); // warm
for (let round = 0; round < Number(process.argv[2]); round++) {
  for (const [name, call, calls] of subjects) {
    const before = Number(read('counter'));
    console.log(`${name}\t${nanosecondsPerCall(call, calls)}`);
    if (Number(read('counter')) !== before + calls) throw new Error(`${name}: it did not count`);
  }
}
