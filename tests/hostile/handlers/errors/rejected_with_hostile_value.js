// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR
await Promise.reject({ get message() { throw 1; }, toString() { throw 2; } });
