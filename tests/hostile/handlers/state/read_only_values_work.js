// SPDX-License-Identifier: Apache-2.0
// The control: reading through the wrapper is like reading the value.
// expect: success [[3, 1, 2], [1, 2, 3], 6, "{\"q\":{\"r\":1}}", true, ["q"]]
// grants: state:read:*
// state: {"o": [3, 1, 2], "p": {"q": {"r": 1}}}
return [$state.o, [...$state.o].sort(), $state.o.reduce((a, b) => a + b), JSON.stringify($state.p),
  Array.isArray($state.o), Object.keys($state.p)];
