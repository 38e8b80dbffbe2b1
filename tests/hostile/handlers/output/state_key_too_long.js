// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR not usable
// grants: state:read:* state:write:*
$state['x'.repeat(1025)] = 1;
