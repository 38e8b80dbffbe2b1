// SPDX-License-Identifier: Apache-2.0
// expect: error PERMISSION_DENIED state:write:b
// grants: state:read:* state:write:a
Object.assign($state, { a: 2, b: 3 });
