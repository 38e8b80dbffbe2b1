// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR
const { proxy, revoke } = Proxy.revocable({}, {});
revoke();
throw proxy;
