// SPDX-License-Identifier: Apache-2.0
// expect: success null
// grants: events:emit:*
// events: e f
$emit('e');
$emit('f', () => 1);
return null;
