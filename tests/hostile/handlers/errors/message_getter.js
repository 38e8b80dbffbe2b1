// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR
throw Object.defineProperty(new Error(), 'message', { get() { throw new Error('hostile'); } });
