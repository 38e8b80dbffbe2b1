// SPDX-License-Identifier: Apache-2.0
// A denial is the host's word, not a name.
// expect: error EXECUTION_ERROR
const e = new Error('capability not granted: state:write:a');
e.name = 'PermissionDenied';
e.code = 'PERMISSION_DENIED';
e.capability = 'state:write:a';
throw e;
