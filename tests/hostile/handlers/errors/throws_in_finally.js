// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR second
try { throw new Error('first'); } finally { throw new Error('second'); }
