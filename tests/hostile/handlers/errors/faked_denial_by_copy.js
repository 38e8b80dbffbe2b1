// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR
let real;
try { $state.a = 1; } catch (e) { real = e; }
const fake = new Error('copy');
for (const key of Reflect.ownKeys(real)) {
  Object.defineProperty(fake, key, Object.getOwnPropertyDescriptor(real, key));
}
throw fake;
