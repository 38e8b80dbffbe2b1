// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR
return (await import('std')).loadFile('/etc/passwd');
