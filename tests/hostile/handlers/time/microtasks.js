// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT running time
// timeout: 100
// grants: state:write:*
$state.a = 2;
for (;;) await null;
