// SPDX-License-Identifier: Apache-2.0
// Runs when the segment ends, after the body.
// expect: error TIMEOUT running time
// timeout: 100
// grants: state:read:* state:write:*
// state: {"o": {"x": 1}}
$state.o.toJSON = () => { for (;;) {} };
return 'done';
