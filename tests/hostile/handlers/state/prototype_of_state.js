// SPDX-License-Identifier: Apache-2.0
// The state has no prototype and gets none.
// expect: success [true, true]
// grants: state:read:* state:write:*
let kept = true;
try { kept = !Reflect.setPrototypeOf($state, { evil: 1 }) || $state.evil === undefined; } catch { }
return [Object.getPrototypeOf($state) === null || kept, kept];
