// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR [Bb]ig[Ii]nt
return 1n;
