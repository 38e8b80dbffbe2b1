// SPDX-License-Identifier: Apache-2.0
// A prototype whose keys are asked for while they are being listed.
// expect: success|error
const a = { b: 1 };
let depth = 0;
function again() {
  if (++depth < 300) Object.setPrototypeOf(a, new Proxy({}, { ownKeys: again }));
  return [];
}
let found = 0;
for (let i = 0; i < 50; i++) { depth = 0; for (const key in a) { again(); found += key.length; } }
return found > 0;
