// SPDX-License-Identifier: Apache-2.0
// expect: success "a\ud800b"
return 'a\ud800b';
