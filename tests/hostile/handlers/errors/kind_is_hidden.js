// SPDX-License-Identifier: Apache-2.0
// The mark that tells real denials from faked ones cannot be listed.
// expect: success []
let real;
try { $state.a = 1; } catch (e) { real = e; }
return Reflect.ownKeys(real)
  .filter((key) => !['message', 'name', 'stack', 'code', 'capability'].includes(key)).map(String);
