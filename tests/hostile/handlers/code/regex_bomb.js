// SPDX-License-Identifier: Apache-2.0
// expect: refused COMPILATION_ERROR|RESOURCE_LIMIT|MEMORY_LIMIT|TIMEOUT
// repeat: /((((((((((x{1,9}){1,9}){1,9}){1,9}){1,9}){1,9}){1,9}){1,9}){1,9}){1,9})/; 3000
return 1;
