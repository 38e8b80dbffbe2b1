// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR
throw new Error('\u0000\u001b[31m\r\n\u2028\ud800');
