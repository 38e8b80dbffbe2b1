// SPDX-License-Identifier: Apache-2.0
// A time limit cannot be caught, and finally blocks do not run.
// expect: error TIMEOUT running time
// timeout: 100
// grants: state:write:*
try {
  for (;;) {}
} catch {
  $state.a = 'caught';
} finally {
  $state.a = 'finally';
  for (;;) {}
}
