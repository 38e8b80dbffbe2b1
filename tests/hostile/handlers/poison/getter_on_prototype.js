// SPDX-License-Identifier: Apache-2.0
// A getter that the handler puts on a prototype sees the read-only wrapper, not what is behind it.
// expect: error PERMISSION_DENIED state:write:o
// grants: state:read:*
// state: {"o": {"x": 1}}
Object.defineProperty(Object.prototype, 'grab', { get() { return this; } });
$state.o.grab.x = 2;
