// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT running time
// timeout: 100
const list = Array.from({ length: 100000 }, (_, i) => i);
list.sort(() => { for (let i = 0; i < 1e4; i++); return 1; });
