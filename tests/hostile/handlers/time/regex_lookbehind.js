// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT running time
// timeout: 100
return 'a'.repeat(60).replace(/(?<=(a*)*)b|(a*)*b/g, 'x');
