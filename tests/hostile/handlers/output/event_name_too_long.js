// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR not usable
// grants: events:emit:*
$emit('x'.repeat(1025), 1);
