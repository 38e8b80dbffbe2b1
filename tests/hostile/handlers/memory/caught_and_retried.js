// SPDX-License-Identifier: Apache-2.0
// Running out of memory may be caught: what was held is given back, and work goes on.
// expect: success "recovered"
// timeout: 3000
let caught = 0;
for (let i = 0; i < 3; i++) {
  try {
    const a = [];
    for (;;) a.push(new Uint8Array(1 << 20));
  } catch {
    caught++;
  }
}
return caught === 3 ? 'recovered' : caught;
