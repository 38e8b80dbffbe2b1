// SPDX-License-Identifier: Apache-2.0
// The host's values do not pass through JSON.stringify as the handler sees it.
// expect: success {"a": 3}
// grants: state:read:* state:write:*
// after: {"a": 3, "o": {"x": 2}}
// state: {"a": 1, "o": {"x": 1}}
JSON.stringify = () => '"poison"';
JSON.parse = () => 'poison';
$state.a = 3;
$state.o.x = 2;
return { a: $state.a };
