// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR
return (async () => {}).constructor('return 1')();
