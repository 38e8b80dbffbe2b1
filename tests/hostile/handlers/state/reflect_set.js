// SPDX-License-Identifier: Apache-2.0
// expect: error PERMISSION_DENIED state:write:a
// grants: state:read:*
Reflect.set($state, 'a', 2, {});
