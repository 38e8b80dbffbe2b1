// SPDX-License-Identifier: Apache-2.0
// expect: refused COMPILATION_ERROR
import * as std from 'std';
return 1;
