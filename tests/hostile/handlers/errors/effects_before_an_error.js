// SPDX-License-Identifier: Apache-2.0
// All or nothing.
// expect: error EXECUTION_ERROR after
// grants: state:read:* state:write:* events:emit:*
$state.a = 'written';
$emit('e', 1);
throw new Error('after');
