// SPDX-License-Identifier: Apache-2.0
// expect: success [["__proto__", "constructor"], true]
// args: {"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}}
return [Object.keys($args), ({}).polluted === undefined];
