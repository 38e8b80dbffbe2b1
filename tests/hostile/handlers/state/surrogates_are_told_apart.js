// SPDX-License-Identifier: Apache-2.0
// expect: success 3
// grants: state:read:* state:write:*
$state['\ud800'] = 1;
$state['\udbff'] = 2;
$state['\ufffd'] = 3;
return Object.keys($state).filter((key) => key !== 'a').length;
