// SPDX-License-Identifier: Apache-2.0
// expect: error PERMISSION_DENIED state:write:a
// grants: state:read:*
const accessor = { __proto__: null, set() {}, get() { return () => true; }, configurable: true };
for (const name of ['value', 'writable', 'target', 'handler', 'kind', 'code', 'get', 'set']) {
  Object.defineProperty(Object.prototype, name, accessor);
}
$state.a = 2;
