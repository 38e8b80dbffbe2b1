// SPDX-License-Identifier: Apache-2.0
// It did overflow nothing.
// expect: error EXECUTION_ERROR stack overflow
throw new InternalError('stack overflow');
