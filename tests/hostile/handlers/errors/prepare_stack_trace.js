// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR real
Error.prepareStackTrace = () => { throw new Error('prepared'); };
Error.stackTraceLimit = 1e9;
throw new Error('real');
