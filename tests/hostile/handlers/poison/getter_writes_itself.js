// SPDX-License-Identifier: Apache-2.0
// expect: error PERMISSION_DENIED state:write:o
// grants: state:read:*
// state: {"o": {"x": 1}}
Object.defineProperty(Object.prototype, 'grab', { get() { this.x = 2; return this.x; } });
return $state.o.grab;
