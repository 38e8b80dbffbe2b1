// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT running time
// timeout: 100
return /^(a|aa|a?a)*c$/u.test('a'.repeat(60));
