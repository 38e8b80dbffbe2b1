// SPDX-License-Identifier: Apache-2.0
// A promise's executor turns what it throws into a rejection; the limit holds all the same.
// expect: error TIMEOUT running time
// timeout: 100
// grants: state:write:*
for (;;) {
  await new Promise(() => { for (;;) {} }).catch(() => { $state.a = 'caught'; });
}
