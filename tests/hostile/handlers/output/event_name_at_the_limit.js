// SPDX-License-Identifier: Apache-2.0
// expect: success 1
// grants: events:emit:*
$emit('x'.repeat(1024), 1);
return 1;
