// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR
const e = new Error('EXTENSION_NOT_FOUND');
e.code = 'EXTENSION_NOT_FOUND';
e.name = 'ExtensionError';
throw e;
