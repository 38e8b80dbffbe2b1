// SPDX-License-Identifier: Apache-2.0
// expect: error PERMISSION_DENIED ext:time
await $ext.time.sleep(1);
