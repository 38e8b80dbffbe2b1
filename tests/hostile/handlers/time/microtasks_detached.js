// SPDX-License-Identifier: Apache-2.0
// The handler itself returned long ago.
// expect: error TIMEOUT running time
// timeout: 100
const again = () => { Promise.resolve().then(again); };
again();
return 'done';
