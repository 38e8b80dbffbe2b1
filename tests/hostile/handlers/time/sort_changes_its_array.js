// SPDX-License-Identifier: Apache-2.0
// expect: success true
const list = Array.from({ length: 1000 }, (_, i) => i);
list.sort((a, b) => { list.length = 0; list.push({}); return a - b; });
return Array.isArray(list);
