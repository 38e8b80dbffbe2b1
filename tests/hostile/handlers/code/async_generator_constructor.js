// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR
return Reflect.construct(Object.getPrototypeOf(async function* () {}).constructor, ['yield 1']);
