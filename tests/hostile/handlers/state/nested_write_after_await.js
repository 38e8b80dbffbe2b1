// SPDX-License-Identifier: Apache-2.0
// What was read before a suspension stays the state's as long as nobody else writes the key.
// expect: success [1, 2]
// grants: state:read:* state:write:* ext:time
// state: {"list": [1]}
// after: {"list": [1, 2]}
const list = $state.list;
await $ext.time.now();
list.push(2);
return list;
