// SPDX-License-Identifier: Apache-2.0
// The prelude's functions give no way to the native ones behind them.
// expect: success []
const found = [];
for (const fn of [$emit, $log, $log.info, console.log, $view.setFilter, $view.command]) {
  for (const name of Reflect.ownKeys(fn)) {
    const value = fn[name];
    if (typeof value === 'function' && ![$log.debug, $log.info, $log.warn, $log.error].includes(value)) {
      found.push(String(name));
    }
  }
  if (!String(fn).includes('[native code]')) found.push(String(fn));
  for (const name of ['caller', 'arguments']) {
    try { if (fn[name] !== undefined) found.push(name); } catch { /* a TypeError is right */ }
  }
}
return found;
