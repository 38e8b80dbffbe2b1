// SPDX-License-Identifier: Apache-2.0
// What docs/openapi.yaml and docs/websocket.md say, as types.

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type State = Record<string, unknown>;

// ---- Panels

export type ValueType = 'string' | 'number' | 'boolean' | 'list' | 'object';

export interface ArgumentDefinition {
  name?: string;
  type?: ValueType;
  required?: boolean;
  default?: Json;
  description?: string;
}

export type TriggerDefinition =
  | string
  | { type: 'manual' }
  | { type: 'interval'; ms: number }
  | { type: 'cron'; expression: string }
  | { type: 'event'; pattern: string }
  | { type: 'state_change'; path: string };

export interface HandlerDefinition {
  handler: string;
  capabilities?: string[];
}

export interface ToolDefinition extends HandlerDefinition {
  name: string;
  description?: string;
  args?: ArgumentDefinition[] | Record<string, ArgumentDefinition>;
  trigger?: TriggerDefinition;
  timeoutMs?: number;
}

export interface PanelDefinition {
  id?: string;
  kind: string;
  title?: string;
  tools: ToolDefinition[];
  initialState?: State;
  capabilities?: string[];
  lifecycle?: { mount?: HandlerDefinition; unmount?: HandlerDefinition };
  metadata?: Record<string, Json>;
}

export interface PanelSource {
  id?: string;
  /** NXML. */
  source: string;
}

export interface Created {
  status: 'ok';
  id: string;
  panelId: string;
  wsUrl: string;
  initialState: State;
  /** Of a `mount` that failed; the panel stays. */
  mount?: ErrorResult;
}

export interface PanelSummary {
  id: string;
  kind: string;
  title: string;
  status: 'active' | 'suspended';
  createdAt: string;
  lastActivity: string;
  clientCount: number;
}

export interface PanelList {
  panels: PanelSummary[];
  total: number;
  maxPanels: number;
}

export interface Tool {
  name: string;
  description?: string;
  trigger: { type: string; ms?: number; expression?: string; pattern?: string; path?: string };
  timeoutMs?: number;
  args: { name: string; type: ValueType; required: boolean; default?: Json; description?: string }[];
  /** Those in effect. */
  capabilities: string[];
}

export type ViewNode =
  | { text: unknown }
  | { type: string; attributes?: Record<string, unknown>; children?: ViewNode[] };

export interface Panel extends PanelSummary {
  description?: string;
  version?: string;
  author?: string;
  tags?: string;
  metadata?: Record<string, Json>;
  computed?: { name: string; value: string }[];
  tools: Tool[];
  view?: ViewNode;
}

export interface PanelState<S = State> {
  panelId: string;
  version: number;
  state: S;
}

export interface Ticket {
  ticket: string;
  expiresInMs: number;
}

// ---- Results

export type Mutation = { operation: 'set'; key: string; value: Json } | { operation: 'delete'; key: string };

export interface Metrics {
  durationUs: number;
  memoryUsedBytes: number;
  memoryPeakBytes: number;
  hostCalls: Record<string, number>;
  compileUs: number;
  cacheHit: boolean;
  segments: number;
}

export interface Suspension {
  suspensionId: string;
  calls: { callId: number; extension: string; method: string; args: Json[] }[];
}

interface ResultBase {
  mutations: Mutation[];
  events: { name: string; payload?: Json }[];
  viewCommands: { type: 'setFilter' | 'scrollTo' | 'focus' | 'custom'; componentId: string; args?: Json }[];
  logs: { level: 'debug' | 'info' | 'warn' | 'error'; message: string }[];
  metrics: Metrics;
}

export interface SuccessResult<R = unknown> extends ResultBase {
  status: 'success';
  returnValue?: R;
}

export interface SuspendedResult extends ResultBase {
  status: 'suspended';
  suspension: Suspension;
}

export type ResultCode =
  | 'TIMEOUT' | 'MEMORY_LIMIT' | 'RESOURCE_LIMIT' | 'PERMISSION_DENIED' | 'EXECUTION_ERROR' | 'COMPILATION_ERROR'
  | 'INVALID_HANDLER' | 'EXTENSION_NOT_FOUND' | 'METHOD_NOT_FOUND' | 'EXTENSION_ERROR' | 'SUSPENSION_TIMEOUT'
  | 'CANCELLED' | 'OVERLOADED' | 'INTERNAL_ERROR';

export interface ErrorResult extends ResultBase {
  status: 'error';
  error: {
    code: ResultCode;
    message: string;
    stack?: string;
    location?: { line: number; column: number };
    snippet?: { code: string; highlightLine: number };
    capability?: string;
  };
}

// ---- Errors

export class NexusError extends Error {
  readonly code: string;
}

/** The server refused a request; nothing ran. */
export class RequestError extends NexusError {
  /** 0 if it was refused over a WebSocket. */
  readonly status: number;
  readonly details?: { line?: number; column?: number; diagnostics: Diagnostic[] };
  readonly requestId?: string;
  readonly retryAfterMs?: number;
}

export interface Diagnostic {
  severity: 'error' | 'warning';
  code: string;
  message: string;
  line?: number;
  column?: number;
}

export class AuthenticationError extends RequestError {}
export class PermissionError extends RequestError {}
export class NotFoundError extends RequestError {}
export class ConflictError extends RequestError {}
export class OverloadedError extends RequestError {}

/** A handler ran and ended with an error. */
export class ExecutionError extends NexusError {
  readonly result: ErrorResult;
}

/** There was no answer. */
export class ConnectionError extends NexusError {
  /** It had been sent: it may have taken effect, or still do so. */
  readonly mayHaveRun: boolean;
}

export class TimeoutError extends NexusError {
  readonly mayHaveRun: boolean;
}

export class QueueFullError extends NexusError {}
export class ClosedError extends NexusError {}

// ---- The client

/** What is used of a WebSocket: the platform's, or that of the package ws. */
export interface WebSocketLike {
  readonly readyState: number;
  readonly bufferedAmount: number;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}

export type WebSocketClass = new (url: string, protocols: string[], options?: any) => WebSocketLike;

export interface ClientOptions {
  /** A token, or what gives one, asked for each request and connection. */
  token?: string | (() => string | null | undefined | Promise<string | null | undefined>);
  /** How a WebSocket brings it: in a subprotocol (default), by a ticket, or in a header (package ws only). */
  wsAuth?: 'subprotocol' | 'ticket' | 'header';
  /** Of a request, except triggers; default 30,000, 0: no limit. */
  timeoutMs?: number;
  /** Default: the platform's. */
  fetch?: typeof globalThis.fetch;
  WebSocket?: WebSocketClass;
}

export interface RequestOptions {
  signal?: AbortSignal;
  timeoutMs?: number;
}

export interface TriggerOptions extends RequestOptions {
  /** Sent again with the same key, the trigger does not run again. */
  idempotencyKey?: string;
  requestId?: string;
}

export class NexusClient {
  constructor(url: string | URL, options?: ClientOptions);
  createPanel(panel: string | PanelDefinition | PanelSource, options?: RequestOptions): Promise<Created>;
  listPanels(options?: RequestOptions & { limit?: number; after?: string }): Promise<PanelList>;
  panels(options?: RequestOptions): AsyncGenerator<PanelSummary, void, undefined>;
  getPanel(id: string, options?: RequestOptions): Promise<Panel>;
  getState<S = State>(id: string, options?: RequestOptions & { ifNot?: undefined }): Promise<PanelState<S>>;
  /** null if the version is still `ifNot`. */
  getState<S = State>(id: string, options: RequestOptions & { ifNot: number }): Promise<PanelState<S> | null>;
  deletePanel(id: string, options?: RequestOptions): Promise<void>;
  /** Rejects with ExecutionError if the handler ended with an error. */
  trigger<R = unknown>(id: string, tool: string, args?: object,
    options?: TriggerOptions & { respondAsync?: false }): Promise<SuccessResult<R>>;
  /** Resolves at the first suspension, if there is one; the execution goes on. */
  trigger<R = unknown>(id: string, tool: string, args: object | undefined,
    options: TriggerOptions & { respondAsync: true }): Promise<SuccessResult<R> | SuspendedResult>;
  createTicket(id: string, options?: RequestOptions): Promise<Ticket>;
  connect<S = State>(id: string, options?: LiveOptions): LivePanel<S>;
}

// ---- Live panels

export type Topic = 'state' | 'events' | 'view' | 'logs';

export interface LiveOptions {
  /** Default: state and events. */
  topics?: Topic[];
  /** Which keys of the state to be told of; default: all. */
  keys?: string[];
  minDelayMs?: number;
  maxDelayMs?: number;
  maxAttempts?: number;
  openTimeoutMs?: number;
  /** After so much silence the server is asked for a sign of life; 0: never. */
  heartbeatMs?: number;
  maxQueued?: number;
  maxInFlight?: number;
  maxKeptPatches?: number;
  maxBufferedBytes?: number;
}

export interface StateChange<S = State> {
  state: S;
  version: number;
  cause: 'connected' | 'patch' | 'resync' | 'refetched';
  /** Of a patch. */
  mutations?: Mutation[];
}

export type Status =
  | { status: 'connecting' }
  | { status: 'open' }
  | { status: 'waiting'; delayMs: number; error: Error }
  | { status: 'closed'; error?: Error };

export interface LiveEvents<S = State> {
  state: StateChange<S>;
  event: { name: string; payload?: Json; timestamp: string };
  view: { command: string; componentId: string; args?: Json };
  log: { handler: string; level: string; message: string; timestamp: string };
  status: Status;
  /** A message of this side that the server refused, other than a trigger. */
  error: RequestError;
}

export interface Progress {
  requestId: string;
  status: 'suspended';
  mutations: Mutation[];
  events: { name: string; payload?: Json }[];
  suspension: Suspension;
}

export class LivePanel<S = State> {
  private constructor();
  readonly id: string;
  readonly status: Status['status'];
  /** undefined before the first connection. Not changed in place: each change is a new object. */
  readonly state: S | undefined;
  readonly version: number;
  readonly error: Error | undefined;
  /** Resolves at the first connection; rejects if it is closed before. */
  readonly ready: Promise<this>;
  on<E extends keyof LiveEvents<S>>(name: E, listener: (value: LiveEvents<S>[E]) => void): () => void;
  trigger<R = unknown>(tool: string, args?: object,
    options?: RequestOptions & { onProgress?: (progress: Progress) => void }): Promise<SuccessResult<R>>;
  subscribe(what: { topics?: Topic[]; keys?: string[] }): void;
  unsubscribe(what: { topics?: Topic[]; keys?: string[] }): void;
  close(): Promise<void>;
}
