// SPDX-License-Identifier: Apache-2.0
// expect: error PERMISSION_DENIED view:update:denied
// grants: view:update:allowed
let turn = 0;
$view.focus({ [Symbol.toPrimitive]: () => (turn++ === 0 ? 'denied' : 'allowed') });
