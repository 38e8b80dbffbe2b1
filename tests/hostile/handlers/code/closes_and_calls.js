// SPDX-License-Identifier: Apache-2.0
// expect: refused COMPILATION_ERROR
})(), (function () {
