// SPDX-License-Identifier: Apache-2.0
// What every handler gets cannot be changed, not even for its own call.
// expect: success []
const changed = [];
const tries = {
  'view': () => { $view.focus = 1; },
  'log': () => { $log.info = 1; },
  'console': () => { console.log = 1; },
  'console itself': () => { globalThis.console = 1; },
  'emit': () => { $emit.extra = 1; },
  'ext': () => { $ext.name = 1; },
  'ext namespace': () => { $ext.time.sleep = 1; },
  'ext prototype': () => { Object.setPrototypeOf($ext, {}); },
};
for (const [name, fn] of Object.entries(tries)) {
  try { fn(); changed.push(name); } catch { /* a TypeError is right */ }
}
return changed;
