// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT running time
// timeout: 100
async function* numbers() { for (let i = 0; ; i++) yield i; }
for await (const i of numbers()) { }
