// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR
throw new AggregateError([new Error('a'), new Error('b')], 'both');
