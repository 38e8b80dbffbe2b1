// SPDX-License-Identifier: Apache-2.0
// expect: success [1, true]
// grants: state:read:* state:write:*
$state.a = JSON.parse('{"__proto__": {"polluted": 1}}');
return [$state.a['__proto__'].polluted, ({}).polluted === undefined];
