// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR
throw new Proxy(new Error('inner'), { get() { throw new Error('trap'); } });
