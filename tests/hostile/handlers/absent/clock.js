// SPDX-License-Identifier: Apache-2.0
// The clock does not move within a segment, so it measures nothing.
// expect: success [1, 1, true]
const seen = new Set(), dates = new Set();
for (let i = 0; i < 200000; i++) seen.add(Date.now());
for (let i = 0; i < 1000; i++) dates.add(+new Date());
return [seen.size, dates.size, Math.abs(Date.now() - Date.parse('2020-01-01')) > 1e10];
