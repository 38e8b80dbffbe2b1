// SPDX-License-Identifier: Apache-2.0
// toJSON calls back into the state while the host waits for the value.
// expect: success {"a": "outer", "b": "inner"}
// grants: state:read:* state:write:*
// after: {"a": "outer", "b": "inner"}
$state.a = { toJSON() { $state.b = 'inner'; $state.a = 'lost'; return 'outer'; } };
$state.a = 'outer';
return { a: $state.a, b: $state.b };
