// SPDX-License-Identifier: Apache-2.0
// expect: success []
// grants: ext:time
const reached = [];
for (const name of ['constructor', '__proto__', 'sleep ', 'SLEEP', 'toString', '\0']) {
  try { await $ext.time[name](1); reached.push(name); } catch (e) {
    if (e.code !== 'METHOD_NOT_FOUND') reached.push(`${name} ${e.code}`);
  }
}
return reached;
