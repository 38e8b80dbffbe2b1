// SPDX-License-Identifier: Apache-2.0
// What showing the error does to the state is undone with the rest.
// expect: error EXECUTION_ERROR
// grants: state:write:*
throw { toString() { $state.a = 'written'; return 'shown'; } };
