// SPDX-License-Identifier: Apache-2.0
// The error that is reported runs code of the handler's when it is shown.
// expect: error TIMEOUT running time
// timeout: 100
throw { toString() { for (;;) {} } };
