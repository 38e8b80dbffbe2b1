// SPDX-License-Identifier: Apache-2.0
// expect: error MEMORY_LIMIT|EXECUTION_ERROR
return new RegExp('(?:' + 'a{1000}'.repeat(20) + '){1000}'.repeat(1) + '(x|y)'.repeat(100000)).source.length;
