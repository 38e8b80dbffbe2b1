// SPDX-License-Identifier: Apache-2.0
// Mutations are the net effect, in order of first write.
// expect: success null
// grants: state:read:* state:write:*
// after: {"b": 3, "c": [1, 2]}
$state.b = 1;
$state.c = [];
$state.b = 3;
delete $state.a;
$state.c.push(1);
$state.c.push(2);
return null;
