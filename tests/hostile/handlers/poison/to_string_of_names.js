// SPDX-License-Identifier: Apache-2.0
// A name that changes between two conversions is converted once.
// expect: error PERMISSION_DENIED events:emit:denied
// grants: events:emit:allowed
let turn = 0;
const name = { toString: () => (turn++ === 0 ? 'denied' : 'allowed') };
$emit(name, 1);
