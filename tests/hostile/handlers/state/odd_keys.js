// SPDX-License-Identifier: Apache-2.0
// expect: success true
// grants: state:read:* state:write:*
const keys = ['constructor', 'toString', 'hasOwnProperty', 'valueOf', 'then', 'toJSON', 'length',
  '0', '-1', '4294967295', '4294967296', '1.5', ' ', '*', 'a:b', 'a.b', '\n', '\u0001', '"', '\\',
  '\u{1F600}', 'caf\u00e9', 'cafe\u0301', '\u202e', 'undefined', 'null', 'prototype'];
for (const key of keys) $state[key] = { key };
for (const key of keys) {
  if (!(key in $state) || $state[key].key !== key) throw new Error(JSON.stringify(key));
}
return Object.keys($state).length === keys.length + 1;
