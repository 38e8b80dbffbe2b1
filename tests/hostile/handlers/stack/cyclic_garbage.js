// SPDX-License-Identifier: Apache-2.0
// expect: success "collected"
for (let round = 0; round < 20; round++) {
  let o = {};
  const first = o;
  for (let i = 0; i < 5000; i++) o = { o };
  first.end = o;
}
return 'collected';
