// SPDX-License-Identifier: Apache-2.0
// expect: success ["a"]
// grants: state:read:a state:write:*
// state: {"a": 1, "secret": 2}
$state.other = 1;
return Object.keys($state);
