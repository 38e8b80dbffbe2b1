// SPDX-License-Identifier: Apache-2.0
// The same with every global and every prototype's method gone.
// expect: success [3, {"x": 2}]
// grants: state:read:* state:write:* events:emit:*
// state: {"a": 1, "o": {"x": 1}}
// after: {"a": 3, "o": {"x": 2}}
// events: e
const { ownKeys, deleteProperty } = Reflect;
for (const key of ownKeys(globalThis)) {
  const prototype = globalThis[key]?.prototype;
  if (prototype) {
    for (const name of ownKeys(prototype)) {
      if (key !== 'Array' || name !== Symbol.iterator) deleteProperty(prototype, name);
    }
  }
}
const world = globalThis;
for (const key of ownKeys(world)) deleteProperty(world, key);
$state.a = 3;
$state.o.x = 2;
$emit('e', 1);
$log('gone', [1]);
return [$state.a, $state.o];
