// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT running time
// timeout: 100
const link = { then(resolve) { resolve(link); } };
return link;
