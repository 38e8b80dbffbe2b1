// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR no extension call is outstanding
return new Promise(() => {});
