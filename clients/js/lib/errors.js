// SPDX-License-Identifier: Apache-2.0
// Everything that the client throws, besides TypeErrors for arguments that make no sense.

/** What all have in common: a `code` that programs can compare. */
export class NexusError extends Error {
  constructor(code, message, options) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** The server refused a request; nothing ran. `status` is 0 if it was refused over a WebSocket. */
export class RequestError extends NexusError {
  constructor({ status, code, message, details, requestId, retryAfterMs }) {
    super(code, message);
    Object.assign(this, { status, details, requestId, retryAfterMs });
  }
}
export class AuthenticationError extends RequestError {}
export class PermissionError extends RequestError {}
export class NotFoundError extends RequestError {}
export class ConflictError extends RequestError {}
export class OverloadedError extends RequestError {}

/** A handler ran and ended with an error: `result` has all of it. */
export class ExecutionError extends NexusError {
  constructor(result) {
    super(result.error.code, result.error.message);
    this.result = result;
  }
}

/**
 * There was no answer. `mayHaveRun` says whether the request had been sent: then it may have taken
 * effect, or still do so.
 */
export class ConnectionError extends NexusError {
  constructor(message, { mayHaveRun = false, cause } = {}) {
    super('CONNECTION', message, cause === undefined ? undefined : { cause });
    this.mayHaveRun = mayHaveRun;
  }
}

/** The time given to a call is over. It was cancelled; `mayHaveRun` as above. */
export class TimeoutError extends NexusError {
  constructor(message, { mayHaveRun = false } = {}) {
    super('CLIENT_TIMEOUT', message);
    this.mayHaveRun = mayHaveRun;
  }
}

/** More calls wait to be sent than the client keeps. */
export class QueueFullError extends NexusError {
  constructor(limit) {
    super('QUEUE_FULL', `${limit} calls wait to be sent already`);
  }
}

/** The live panel is closed, by this side or because the panel is gone. */
export class ClosedError extends NexusError {
  constructor(message) {
    super('CLOSED', message);
  }
}

const BY_CODE = {
  UNAUTHORIZED: AuthenticationError,
  FORBIDDEN: PermissionError,
  NOT_FOUND: NotFoundError,
  PANEL_NOT_FOUND: NotFoundError,
  TOOL_NOT_FOUND: NotFoundError,
  PANEL_EXISTS: ConflictError,
  IDEMPOTENCY_CONFLICT: ConflictError,
  OVERLOADED: OverloadedError,
  UNAVAILABLE: OverloadedError,
};

/** The error of a refusal, of the class that its code asks for. */
export function refusal(fields) {
  return new (BY_CODE[fields.code] ?? RequestError)(fields);
}
