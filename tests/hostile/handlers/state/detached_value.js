// SPDX-License-Identifier: Apache-2.0
// What was read before a replacement is no longer the state's.
// expect: success {"x": 2}
// grants: state:read:* state:write:*
// state: {"o": {"x": 1}}
// after: {"o": {"x": 2}}
const old = $state.o;
$state.o = { x: 2 };
old.x = 3;
return $state.o;
