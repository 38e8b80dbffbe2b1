// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR eval
return eval('1 + 1');
