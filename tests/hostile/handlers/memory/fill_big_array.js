// SPDX-License-Identifier: Apache-2.0
// expect: error MEMORY_LIMIT memory
return new Array(2 ** 28).fill(0).length;
