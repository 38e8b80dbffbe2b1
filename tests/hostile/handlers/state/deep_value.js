// SPDX-License-Identifier: Apache-2.0
// Deeper than the host's JSON goes.
// expect: error EXECUTION_ERROR
// grants: state:read:* state:write:*
let o = 1;
for (let i = 0; i < 300; i++) o = [o];
$state.a = o;
