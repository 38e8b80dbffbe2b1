// SPDX-License-Identifier: Apache-2.0
// expect: success 200000
return /^(?:(a)|b)*$/.exec('a'.repeat(200000))[0].length;
