// SPDX-License-Identifier: Apache-2.0
// toJSON adds keys while nested writes are looked for.
// expect: success 1
// grants: state:read:* state:write:*
// state: {"o": {"n": 0}}
const keys = 40;
$state.o.toJSON = function () {
  for (let i = 0; i < keys; i++) $state['k' + i] = { i };
  return { n: 1 };
};
$state.o.n = 1;
return 1;
