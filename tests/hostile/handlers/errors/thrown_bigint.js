// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR 9007199254740993
throw 9007199254740993n;
