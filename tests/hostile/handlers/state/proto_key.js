// SPDX-License-Identifier: Apache-2.0
// A key like any other, and nobody's prototype.
// expect: success [{"x": 1}, true, ["__proto__", "a"], true]
// grants: state:read:* state:write:*
// after: {"a": 1, "__proto__": {"x": 1}}
$state['__proto__'] = { x: 1 };
return [$state['__proto__'], Object.getPrototypeOf($state) === null,
  Object.keys($state).sort(), ({}).x === undefined];
