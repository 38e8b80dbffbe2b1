// SPDX-License-Identifier: Apache-2.0
// expect: success []
// grants: state:read:*
// state: {"o": [3, 1, 2], "p": {"q": {"r": 1}}}
const done = [];
const tries = {
  push: () => $state.o.push(1), pop: () => $state.o.pop(), sort: () => $state.o.sort(),
  reverse: () => $state.o.reverse(), splice: () => $state.o.splice(0, 1),
  fill: () => $state.o.fill(0), copyWithin: () => $state.o.copyWithin(0, 1),
  length: () => { $state.o.length = 0; }, index: () => { $state.o[0] = 1; },
  'delete': () => { delete $state.o[0]; }, assign: () => Object.assign($state.p.q, { r: 2 }),
  define: () => Object.defineProperty($state.p.q, 'r', { value: 2 }),
  setter: () => Reflect.set($state.p.q, 'r', 2),
  descriptor: () => { Object.getOwnPropertyDescriptor($state.p, 'q').value.r = 2; },
  values: () => { Object.values($state.p)[0].r = 2; },
  entries: () => { Object.entries($state.p)[0][1].r = 2; },
  spread: () => { ({ ...$state.p }).q.r = 2; },
  iterator: () => { for (const x of [$state.p]) x.q.r = 2; },
  prototype: () => Object.setPrototypeOf($state.p, null),
  freeze: () => Object.freeze($state.p),
  call: () => Array.prototype.push.call($state.o, 1),
};
for (const [name, fn] of Object.entries(tries)) {
  try { fn(); done.push(name); } catch (e) {
    if (e.code !== 'PERMISSION_DENIED' && !(e instanceof TypeError)) done.push(`${name}: ${e}`);
  }
}
return done;
