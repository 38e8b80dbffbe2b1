// SPDX-License-Identifier: Apache-2.0
// expect: error PERMISSION_DENIED state:read:a
// grants: state:write:*
$state.a = 9;
return Object.getOwnPropertyDescriptor($state, 'a');
