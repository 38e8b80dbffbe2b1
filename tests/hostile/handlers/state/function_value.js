// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR JSON
// grants: state:read:* state:write:*
$state.a = () => 1;
