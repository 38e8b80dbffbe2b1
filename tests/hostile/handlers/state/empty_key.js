// SPDX-License-Identifier: Apache-2.0
// There is no empty key: it reads as absent and cannot be written.
// expect: success [null, false, "RangeError"]
// grants: state:read:* state:write:*
let name = 'none';
try { $state[''] = 1; } catch (e) { name = e.name; }
return [$state[''] ?? null, '' in $state, name];
