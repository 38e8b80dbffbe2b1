// SPDX-License-Identifier: Apache-2.0
// expect: success "chosen"
return { toJSON() { return 'chosen'; } };
