// SPDX-License-Identifier: Apache-2.0
// expect: success null
// grants: state:read:* state:write:*
// after: {"a": {"x": [null, null]}}
$state.a = { x: [undefined, () => 1], y: undefined, z: Symbol('s') };
return null;
