// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT running time
// timeout: 100
return Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);
