// SPDX-License-Identifier: Apache-2.0
// Much state that is held costs little at each call. Were it looked at each time, this would run into
// its time limit.
// expect: success [900, 40000]
// grants: state:read:* state:write:* ext:time
// state: {"list": []}
for (let i = 0; i < 40000; i++) $state.list.push({ i });
const list = $state.list;
let calls = 0;
for (; calls < 900; calls++) await $ext.time.now();
list[0].i = 'written at the end';
return [calls, list.length];
