// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT running time
// timeout: 100
// grants: state:write:*
const spin = async () => { for (;;) {} };
try {
  await spin();
} catch {
  $state.a = 'caught';
}
return 'late';
