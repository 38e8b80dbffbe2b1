// SPDX-License-Identifier: Apache-2.0
// What fails for want of memory says so.
// expect: success "out of memory"
// grants: state:read:* state:write:* ext:time
$state.s = 'x'.repeat(900000);
await $ext.time.now();
const blocks = [];
try { for (;;) blocks.push(new ArrayBuffer(300000)); } catch { /* no room for the text of $state.s */ }
try {
  return $state.s.length;
} catch (e) {
  blocks.length = 0;
  return e.message;
}
