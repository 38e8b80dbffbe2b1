// SPDX-License-Identifier: Apache-2.0
// expect: error PERMISSION_DENIED
// grants: state:read:a
$state['"}],"error":null,"\u0000\ud800'] = 1;
