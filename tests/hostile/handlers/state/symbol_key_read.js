// SPDX-License-Identifier: Apache-2.0
// expect: success [null, false]
// grants: state:read:* state:write:*
return [$state[Symbol.toPrimitive] ?? null, Symbol.iterator in $state];
