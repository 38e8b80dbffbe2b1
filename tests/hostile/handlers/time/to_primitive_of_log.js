// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT running time
// timeout: 100
$log(Object.assign(new Error(), { toString() { for (;;) {} } }));
