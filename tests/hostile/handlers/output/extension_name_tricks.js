// SPDX-License-Identifier: Apache-2.0
// expect: success []
// grants: ext:time
const reached = [];
for (const name of ['time ', 'Time', 'time\0', '\ud800', '*', 'time:x', 'tim\u0435', '', '__proto__', 'constructor']) {
  try { await $ext[name].sleep(1); reached.push(name); } catch (e) {
    if (e.code !== 'PERMISSION_DENIED' && !(e instanceof RangeError)) reached.push(`${name} ${e}`);
  }
}
return reached;
