// SPDX-License-Identifier: Apache-2.0
// expect: success []
const seen = [];
for (let p = (() => {}); p !== null; p = Object.getPrototypeOf(p)) {
  for (const name of ['caller', 'callee', 'arguments']) {
    try { if (p[name] !== undefined) seen.push(name); } catch { /* a TypeError is right */ }
  }
}
return seen;
