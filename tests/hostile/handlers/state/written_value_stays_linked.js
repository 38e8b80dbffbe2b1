// SPDX-License-Identifier: Apache-2.0
// As with a plain object.
// expect: success {"x": 2}
// grants: state:read:* state:write:*
// after: {"a": 1, "o": {"x": 2}}
const o = { x: 1 };
$state.o = o;
o.x = 2;
return $state.o;
