// SPDX-License-Identifier: Apache-2.0
// The control: as deep as it may be.
// expect: success 256
// grants: state:read:* state:write:*
let o = 1, n = 0;
for (let i = 0; i < 256; i++) o = [o];
$state.a = o;
for (let p = $state.a; Array.isArray(p); p = p[0]) n++;
return n;
