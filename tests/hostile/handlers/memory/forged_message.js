// SPDX-License-Identifier: Apache-2.0
// Nothing was refused, so this is the handler's own error, whatever it says.
// expect: error EXECUTION_ERROR out of memory
throw new InternalError('out of memory');
