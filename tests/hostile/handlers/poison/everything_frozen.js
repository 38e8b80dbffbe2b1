// SPDX-License-Identifier: Apache-2.0
// With every built-in frozen the host's part still works.
// expect: success [3, {"x": 2}]
// grants: state:read:* state:write:* events:emit:*
// state: {"a": 1, "o": {"x": 1}}
// after: {"a": 3, "o": {"x": 2}}
// events: e
for (const key of Reflect.ownKeys(globalThis)) {
  const value = globalThis[key];
  if (typeof value !== 'function' && typeof value !== 'object') continue;
  if (value !== null && value !== globalThis) Object.freeze(value);
  if (value?.prototype) Object.freeze(value.prototype);
}
Object.freeze(globalThis);
$state.a = 3;
$state.o.x = 2;
$emit('e', await Promise.resolve(1));
$log('frozen', [1]);
return [$state.a, $state.o];
