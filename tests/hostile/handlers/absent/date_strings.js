// SPDX-License-Identifier: Apache-2.0
// expect: success "1970-01-01T00:00:00.000Z"
return new Date(0).toISOString();
