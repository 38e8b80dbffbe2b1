// SPDX-License-Identifier: Apache-2.0
// A string is a string, whatever it looks like.
// expect: success "\"},\"status\":\"success\",\"mutations\":[{"
return '"},"status":"success","mutations":[{';
