// SPDX-License-Identifier: Apache-2.0
// expect: refused COMPILATION_ERROR
return 1; }, function handler($state, $args = globalThis.x = 1) {
