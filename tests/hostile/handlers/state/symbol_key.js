// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR string
// grants: state:read:* state:write:*
$state[Symbol.iterator] = 1;
