// SPDX-License-Identifier: Apache-2.0
// A panel watched over a WebSocket.
//
//   connecting --CONNECTED--> open --the socket ends--> waiting --after a while--> connecting
//        `--cannot open--> waiting            any --close(), or no use in trying again--> closed
import { backoffMs } from './backoff.js';
import { Calls } from './calls.js';
import { AuthenticationError, ClosedError, ConnectionError, NexusError, RequestError, refusal } from './errors.js';
import { Mirror } from './mirror.js';

const TOPICS = ['state', 'events', 'view', 'logs'];
const ON_BY_SERVER = ['state', 'events']; // what a new connection is subscribed to
const DEFAULTS = {
  topics: ON_BY_SERVER,
  keys: undefined,
  minDelayMs: 250, // first wait before another try
  maxDelayMs: 30_000,
  maxAttempts: Infinity, // tries in a row that fail
  openTimeoutMs: 15_000,
  heartbeatMs: 25_000, // 0: none
  maxQueued: 256, // calls that wait to be sent
  maxInFlight: 64, // as many as the server takes of a socket
  maxKeptPatches: 1000,
  maxBufferedBytes: 1024 * 1024, // of the socket, before calls wait
};
// A connection that lasted this long was a good one: the next wait is short again.
const GOOD_MS = 5_000;
const CLOSE_TIMEOUT_MS = 2_000;
const DRAIN_MS = 50;
const NORMAL = 1000, ABNORMAL = 1006, TOKEN_EXPIRED = 4401;
const BROKEN = 4000; // ours: nothing more is expected of this connection

/** Like an exception that nobody catches, but where it hurts nobody else. Node.js has no reportError. */
function reportFault(error) {
  if (globalThis.reportError) globalThis.reportError(error);
  else queueMicrotask(() => { throw error; });
}

export class LivePanel {
  #server; // { id, getState, open, renewable } of the client
  #options;
  #listeners = new Map(); // name -> set of functions
  #topics;
  #keys;
  #mirror;
  #calls;
  #status = 'connecting';
  #socket = null;
  #openedAt = 0;
  #attempts = 0; // since the last good connection
  #timers = new Map(); // name -> timer
  #heardAt = 0;
  #fetching = false; // or about to
  #fetchedAt = 0;
  #changed = false; // subscribed to more: what that is has to be asked for
  #error;
  #gone; // why the server is about to close
  #ready = {};

  constructor(server, options = {}) {
    this.#server = server;
    this.#options = { ...DEFAULTS, ...options };
    this.#topics = new Set(this.#checkedTopics(this.#options.topics));
    this.#keys = this.#options.keys ? new Set(this.#options.keys) : null;
    this.#calls = new Calls(this.#options, () => this.#pump());
    this.#mirror = new Mirror({
      maxKept: this.#options.maxKeptPatches,
      onChange: (change) => this.#emit('state', change),
      onGap: () => this.#refetch(),
    });
    this.ready = new Promise((resolve, reject) => {
      this.#ready = { resolve: () => resolve(this), reject };
    });
    this.ready.catch(() => {}); // also told by 'status': nobody has to wait for it
    this.#connect();
  }

  get id() { return this.#server.id; }
  get status() { return this.#status; }
  get state() { return this.#mirror.state; }
  get version() { return this.#mirror.version; }
  /** Why it is closed; undefined if close() was called, or it is not. */
  get error() { return this.#error; }

  /** Calls `listener` on each `name`; returns what ends that. */
  on(name, listener) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name).add(listener);
    return () => this.#listeners.get(name).delete(listener);
  }

  /** Runs a tool. While there is no connection, it waits for one. */
  trigger(tool, args = {}, options = {}) {
    if (this.#status === 'closed') return Promise.reject(new ClosedError('the live panel is closed'));
    return this.#calls.add(tool, args, options, (requestId) => this.#send({ type: 'CANCEL', requestId }));
  }

  /** From now on also these; keys narrow what is told of the state. */
  subscribe({ topics = [], keys = [] } = {}) {
    for (const topic of this.#checkedTopics(topics)) this.#topics.add(topic);
    if (keys.length) this.#keys = new Set([...(this.#keys ?? []), ...keys]);
    this.#tell('SUBSCRIBE', topics, keys);
    if (topics.includes('state') || keys.length) this.#widened();
  }

  /** No longer these. Without any key left, all keys are told again. */
  unsubscribe({ topics = [], keys = [] } = {}) {
    for (const topic of this.#checkedTopics(topics)) this.#topics.delete(topic);
    for (const key of keys) this.#keys?.delete(key);
    if (this.#keys?.size === 0) this.#keys = null;
    this.#tell('UNSUBSCRIBE', topics, keys);
    if (keys.length) this.#widened();
  }

  /** Ends it for good. Calls under way run on, but nobody here hears of them. */
  async close() {
    const socket = this.#socket;
    this.#finish();
    if (!socket || socket.readyState === 3) return;
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, CLOSE_TIMEOUT_MS);
      socket.onclose = () => {
        clearTimeout(timer);
        resolve();
      };
      socket.close(NORMAL);
    });
  }

  #checkedTopics(topics) {
    const unknown = topics.find((topic) => !TOPICS.includes(topic));
    if (unknown !== undefined) throw new TypeError(`not a topic: ${unknown}`);
    return topics;
  }

  // ---- Connecting

  async #connect() {
    this.#setStatus('connecting');
    try {
      const socket = await this.#server.open();
      socket.onerror = () => {};
      if (this.#status === 'closed') socket.close();
      else this.#attach(socket);
    } catch (error) {
      if (this.#isFinal(error)) this.#finish(error);
      else this.#retry(error);
    }
  }

  #attach(socket) {
    this.#socket = socket;
    this.#openedAt = 0;
    this.#timer('open', this.#options.openTimeoutMs, () => this.#drop('nothing came in time'));
    socket.onmessage = ({ data }) => this.#socket === socket && this.#received(data);
    // Not every implementation closes what could not be opened.
    socket.onerror = () => this.#socket === socket && !this.#openedAt && this.#ended(ABNORMAL, '');
    socket.onclose = ({ code, reason }) => this.#socket === socket && this.#ended(code, reason);
  }

  #ended(code, reason) {
    const opened = this.#openedAt !== 0;
    const cause = new ConnectionError(`the connection ended: ${code}${reason ? ` ${reason}` : ''}`);
    this.#socket = null;
    this.#stopTimers();
    if (this.#status === 'closed') return;
    if (opened && Date.now() - this.#openedAt >= GOOD_MS) this.#attempts = 0;
    this.#calls.lost(cause);
    if (code === NORMAL && opened) this.#finish(new ClosedError(this.#gone ?? 'the server closed it'));
    else if (code === TOKEN_EXPIRED && !this.#server.renewable)
      this.#finish(new AuthenticationError({ status: 401, code: 'UNAUTHORIZED', message: 'the token has expired' }));
    else if (opened) this.#retry(cause);
    else this.#ask(cause);
  }

  // A WebSocket does not tell why it could not be opened. A request with the same token does.
  async #ask(cause) {
    try {
      await this.#server.getState();
    } catch (error) {
      if (this.#isFinal(error)) {
        this.#finish(error);
        return;
      }
    }
    this.#retry(cause);
  }

  // Whether trying again is of no use: the server said no, or this side is used wrongly.
  #isFinal(error) {
    if (!(error instanceof RequestError)) return !(error instanceof NexusError);
    return error.status >= 400 && error.status < 500 && error.status !== 408 && error.status !== 429;
  }

  #retry(error) {
    if (this.#status === 'closed') return;
    if (this.#attempts >= this.#options.maxAttempts) {
      this.#finish(error);
      return;
    }
    const { minDelayMs: baseMs, maxDelayMs: maxMs } = this.#options;
    const delayMs = backoffMs(this.#attempts++, { baseMs, maxMs });
    this.#setStatus('waiting', { delayMs, error });
    this.#timer('retry', delayMs, () => this.#connect());
  }

  #drop(why) {
    const socket = this.#socket;
    if (!socket) return;
    socket.onclose = null; // a dead peer may take minutes to be known as such
    socket.close(BROKEN, why);
    this.#ended(BROKEN, why);
  }

  #finish(error) {
    if (this.#status === 'closed') return;
    this.#error = error;
    this.#stopTimers();
    this.#socket = null;
    this.#setStatus('closed', error && { error });
    this.#calls.close(error);
    this.#ready.reject(error ?? new ClosedError('the live panel is closed'));
  }

  // ---- Messages

  #received(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      this.#drop('a message that is not JSON');
      return;
    }
    this.#heardAt = Date.now();
    switch (message.type) {
    case 'CONNECTED': this.#connected(message); break;
    case 'PATCH': if (this.#topics.has('state')) this.#mirror.patch(message); break;
    case 'RESYNC': this.#mirror.replace(message.state, message.version, 'resync'); break;
    case 'EVENT': if (this.#topics.has('events')) this.#emit('event', message); break;
    case 'VIEW': this.#emit('view', message); break;
    case 'LOG': this.#emit('log', message); break;
    case 'PROGRESS': this.#calls.progress(message); break;
    case 'RESULT': this.#calls.result(message); break;
    case 'ERROR': if (!this.#calls.refused(message)) this.#emit('error', refusal({ ...message, status: 0 })); break;
    case 'CLOSED': this.#gone = `the panel is closed: ${message.reason}`; break;
    case 'PONG': if (this.#changed) this.#refetch(); this.#changed = false; break;
    default: // what later servers may say
    }
  }

  #connected({ state, version }) {
    clearTimeout(this.#timers.get('open'));
    this.#openedAt = Date.now();
    const off = ON_BY_SERVER.filter((topic) => !this.#topics.has(topic));
    const on = [...this.#topics].filter((topic) => !ON_BY_SERVER.includes(topic));
    this.#status = 'open';
    this.#tell('UNSUBSCRIBE', off, []);
    this.#tell('SUBSCRIBE', on, [...(this.#keys ?? [])]);
    this.#mirror.replace(state, version, 'connected');
    this.#emit('status', { status: 'open' });
    this.#ready.resolve();
    this.#heartbeat();
    this.#pump();
  }

  // Asks for the state; patches that come meanwhile are the mirror's to keep. If there is a gap still,
  // as with a stale answer, not at once again.
  #refetch() {
    if (this.#fetching || this.#status !== 'open') return;
    const { minDelayMs } = this.#options;
    this.#fetching = true;
    this.#timer('refetch', Math.max(0, this.#fetchedAt + minDelayMs - Date.now()), async () => {
      const socket = this.#socket;
      const answer = await this.#server.getState().catch(() => null);
      if (this.#socket !== socket) return;
      this.#fetching = false;
      this.#fetchedAt = Date.now();
      // A new connection begins with the state.
      if (answer) this.#mirror.replace(answer.state, answer.version, 'refetched');
      else this.#drop('the state could not be read');
    });
  }

  // What was not told until now is asked for once the server has heard of the change.
  #widened() {
    this.#changed = true;
    this.#send({ type: 'PING' });
  }

  #tell(type, topics, keys) {
    const message = { type };
    if (topics.length) message.topics = topics;
    if (keys.length) message.keys = keys;
    if (topics.length || keys.length) this.#send(message);
  }

  #send(message) {
    if (this.#status === 'open' && this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(message));
  }

  #pump() {
    while (this.#status === 'open' && this.#socket?.readyState === 1) {
      if (this.#socket.bufferedAmount > this.#options.maxBufferedBytes) {
        this.#timer('drain', DRAIN_MS, () => this.#pump());
        return;
      }
      const message = this.#calls.take();
      if (!message) return;
      this.#send(message);
    }
  }

  // ---- Time

  // Pages do not see the server's pings: the client asks, and wants to hear something. Who stood still
  // meanwhile (a page in the background, a machine that slept or was busy) has not listened, and asks again.
  #heartbeat(asked = false) {
    const { heartbeatMs } = this.#options;
    if (!heartbeatMs) return;
    const due = Date.now() + heartbeatMs;
    this.#timer('heartbeat', heartbeatMs, () => {
      const now = Date.now();
      const silent = now - this.#heardAt >= heartbeatMs;
      if (silent && asked && now - due < heartbeatMs / 2) {
        this.#drop('the server is silent');
        return;
      }
      if (silent) this.#send({ type: 'PING' });
      this.#heartbeat(silent);
    });
  }

  #timer(name, ms, fn) {
    clearTimeout(this.#timers.get(name));
    this.#timers.set(name, setTimeout(fn, ms));
  }

  #stopTimers() {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#fetching = this.#changed = false;
  }

  // ---- Telling

  #setStatus(status, more) {
    if (this.#status === status && status !== 'connecting') return;
    this.#status = status;
    this.#emit('status', { status, ...more });
  }

  #emit(name, value) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(value);
      } catch (error) {
        // A listener's fault is its own, and must be seen.
        reportFault(error);
      }
    }
  }
}
