// SPDX-License-Identifier: Apache-2.0
// The read-only wrapper of the prelude keeps its own.
// expect: error PERMISSION_DENIED state:write:o
// grants: state:read:*
// state: {"o": {"x": {"y": 1}}}
globalThis.Proxy = class { constructor(target) { return target; } };
WeakMap.prototype.get = () => undefined;
WeakMap.prototype.set = () => { throw new Error('poison'); };
Reflect.apply = (fn, self, args) => fn;
$state.o.x.y = 2;
