// SPDX-License-Identifier: Apache-2.0
// In an async body, after its first suspension point.
// expect: error TIMEOUT running time
// timeout: 100
// line: 7
await null;
do { } while (true);
