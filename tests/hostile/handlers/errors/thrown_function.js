// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR
throw function evil() {};
