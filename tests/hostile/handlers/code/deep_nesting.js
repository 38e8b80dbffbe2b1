// SPDX-License-Identifier: Apache-2.0
// expect: refused COMPILATION_ERROR|RESOURCE_LIMIT|MEMORY_LIMIT
// repeat: [ 200000
return 1;
