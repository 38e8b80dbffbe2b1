// SPDX-License-Identifier: Apache-2.0
// A caught denial may be dressed up; whatever it says then is only words, and nothing was written.
// expect: error PERMISSION_DENIED
try { $state.a = 2; } catch (e) {
  Object.defineProperty(e, 'capability', { value: 'state:write:forged' });
  Object.defineProperty(e, 'code', { value: 'SUCCESS' });
  e.message = 'forged';
  throw e;
}
