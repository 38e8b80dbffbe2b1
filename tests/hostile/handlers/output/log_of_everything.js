// SPDX-License-Identifier: Apache-2.0
// expect: success 12
const revoked = Proxy.revocable({}, {});
revoked.revoke();
const cycle = {};
cycle.cycle = cycle;
const values = [undefined, null, NaN, 1n, Symbol('s'), () => 1, cycle, revoked.proxy, new Error('e'),
  { toJSON() { throw new Error('hostile'); } }, '\ud800\u0000', Object.create(null)];
let n = 0;
for (const value of values) {
  try { $log(value); n++; } catch (e) { throw new Error(`${n}: ${e}`); }
}
return n;
