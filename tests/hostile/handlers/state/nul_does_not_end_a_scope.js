// SPDX-License-Identifier: Apache-2.0
// expect: error PERMISSION_DENIED
// grants: state:read:* state:write:a
$state['a\0'] = 1;
