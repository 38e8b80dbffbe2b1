// SPDX-License-Identifier: Apache-2.0
// Writing through an object that inherits from the state needs the same grant.
// expect: error PERMISSION_DENIED state:write:a
// grants: state:read:*
const o = Object.create($state);
o.a = 2;
