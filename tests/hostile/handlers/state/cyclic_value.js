// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR circular
// grants: state:read:* state:write:*
const o = {};
o.o = o;
$state.a = o;
