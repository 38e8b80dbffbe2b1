// SPDX-License-Identifier: Apache-2.0
// A caught denial still names what was denied, whatever else it is made to say.
// expect: error PERMISSION_DENIED ^state:write:a
try { $state.a = 2; } catch (e) {
  Reflect.defineProperty(e, 'capability', { value: 'state:write:forged' });
  Reflect.deleteProperty(e, 'capability');
  Reflect.defineProperty(e, 'code', { value: 'SUCCESS' });
  e.message = 'forged';
  throw e;
}
