// SPDX-License-Identifier: Apache-2.0
// expect: success ["nul", 1]
// grants: state:read:* state:write:*
// after: {"a": 1, "a\u0000b": "nul"}
$state['a\0b'] = 'nul';
return [$state['a\0b'], $state.a];
