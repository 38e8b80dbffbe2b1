// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR
return (0, globalThis.eval)('1 + 1');
