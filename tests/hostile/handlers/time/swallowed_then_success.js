// SPDX-License-Identifier: Apache-2.0
// Swallowing the interruption and ending at once is no success.
// expect: error TIMEOUT running time
// timeout: 100
// grants: state:write:*
new Promise(() => { for (;;) {} }).catch(() => {});
$state.a = 'late';
return 'late';
