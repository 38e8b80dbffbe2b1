// SPDX-License-Identifier: Apache-2.0
// expect: success 1
// grants: events:emit:allowed
// events: allowed
let turn = 0;
$emit({ toString: () => (turn++ === 0 ? 'allowed' : 'denied') }, 1);
return turn;
