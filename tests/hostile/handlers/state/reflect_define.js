// SPDX-License-Identifier: Apache-2.0
// expect: error PERMISSION_DENIED state:write:a
// grants: state:read:*
Reflect.defineProperty($state, 'a', { value: 2 });
