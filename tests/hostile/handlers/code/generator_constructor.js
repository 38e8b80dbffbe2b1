// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR
return Object.getPrototypeOf(function* () {}).constructor('yield 1')().next();
