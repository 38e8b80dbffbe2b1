// SPDX-License-Identifier: Apache-2.0
// expect: success ["zero", "zero", "big", true]
// grants: state:read:* state:write:*
// after: {"a": 1, "0": "zero", "4294967294": "big"}
$state[0] = 'zero';
$state[4294967294] = 'big';
return [$state[0], $state['0'], $state[4294967294], 0 in $state];
