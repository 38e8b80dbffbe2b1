// SPDX-License-Identifier: Apache-2.0
// Nobody waits for it: not the handler's outcome.
// expect: success "fine"
Promise.reject(new Error('unhandled'));
return 'fine';
