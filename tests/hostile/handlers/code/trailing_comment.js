// SPDX-License-Identifier: Apache-2.0
// A comment at the end swallows nothing.
// expect: success 1
return 1; // the end
