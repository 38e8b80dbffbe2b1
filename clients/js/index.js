// SPDX-License-Identifier: Apache-2.0
// Client of the Nexus runtime. One module for browsers and Node.js, without dependencies.
export { NexusClient } from './lib/client.js';
export { LivePanel } from './lib/live.js';
export {
  NexusError, RequestError, AuthenticationError, PermissionError, NotFoundError, ConflictError,
  OverloadedError, ExecutionError, ConnectionError, TimeoutError, QueueFullError, ClosedError,
} from './lib/errors.js';
