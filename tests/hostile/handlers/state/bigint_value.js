// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR [Bb]ig[Ii]nt
// grants: state:read:* state:write:*
$state.a = 1n;
