// SPDX-License-Identifier: Apache-2.0
// A call that there is no memory to tell the handler of is not made, and its answer harms nobody.
// expect: success [3, true]
// grants: ext:time
const now = $ext.time.now, made = [], blocks = [];
let chain = null, refused = 0;
try { for (;;) blocks.push(new Uint8Array(100000)); } catch { /* full but for small things */ }
try { for (;;) chain = { next: chain }; } catch { /* full */ }
for (let i = 0; i < 980 && made.length < 3; i++) {
  try { made.push(now(i)); } catch { refused++; }
  chain = chain.next;
}
blocks.length = 0;
chain = null;
await Promise.all(made);
return [made.length, refused > 0];
