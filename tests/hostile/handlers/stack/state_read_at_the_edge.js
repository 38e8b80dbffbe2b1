// SPDX-License-Identifier: Apache-2.0
// A read that there is no stack for fails, and does not leave the key looking absent.
// expect: success [true, "object"]
// grants: state:read:*
// state: {"deep": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}
// timeout: 30000
let depth = 0;
function measure() { depth++; return measure() + 1; }
try { measure(); } catch { /* the stack is used up */ }
function read(n) { return n === 0 ? $state.deep : read(n - 1); }
let failed = false;
for (let n = depth + 20; n > 0; n -= 5) {
  try {
    read(n);
    break;
  } catch {
    failed = true;
  }
}
return [failed, typeof $state.deep];
