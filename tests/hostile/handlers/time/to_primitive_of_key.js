// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT running time
// timeout: 100
// grants: state:read:*
return $state[{ [Symbol.toPrimitive]() { for (;;) {} } }];
