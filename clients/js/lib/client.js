// SPDX-License-Identifier: Apache-2.0
// The HTTP half of the client.
import { ConnectionError, ExecutionError, NexusError, TimeoutError, refusal } from './errors.js';
import { LivePanel } from './live.js';

const DEFAULT_TIMEOUT_MS = 30_000;
const PAGE = 1000; // panels asked for at once; the server gives no more
const ID = /^[A-Za-z0-9_-]{1,128}$/;
const TOOL = /^[A-Za-z0-9_$-]{1,128}$/;

/**
 * A signal that fires with `outer`, or after `timeoutMs` (0: never). AbortSignal.any would do, where
 * there is one.
 */
function limited(outer, timeoutMs) {
  const controller = new AbortController();
  const onAbort = () => controller.abort(outer.reason);
  let timedOut = false;
  if (outer?.aborted) onAbort();
  else outer?.addEventListener('abort', onAbort, { once: true });
  const timer = timeoutMs > 0 && setTimeout(() => {
    timedOut = true;
    controller.abort();
  }, timeoutMs);
  return {
    signal: controller.signal,
    timedOut: () => timedOut,
    done() {
      clearTimeout(timer);
      outer?.removeEventListener('abort', onAbort);
    },
  };
}

/** The error that an answer stands for. Not every proxy in between speaks JSON. */
function refusalOf(response, text) {
  const seconds = Number(response.headers.get('Retry-After'));
  const retryAfterMs = response.headers.has('Retry-After') && seconds >= 0 ? seconds * 1000 : undefined;
  let error;
  try {
    error = JSON.parse(text).error;
  } catch {
    // told below
  }
  return refusal({
    status: response.status,
    code: typeof error?.code === 'string' ? error.code : `HTTP_${response.status}`,
    message: typeof error?.message === 'string' ? error.message : `the server answered ${response.status}`,
    details: error?.details,
    requestId: error?.requestId ?? response.headers.get('X-Request-Id') ?? undefined,
    retryAfterMs,
  });
}

function checked(value, form, what) {
  if (typeof value !== 'string' || !form.test(value)) throw new TypeError(`not ${what}: ${value}`);
  return value;
}

/** A server. Holds no connection by itself. */
export class NexusClient {
  #base;
  #options;

  constructor(url, options = {}) {
    const parsed = new URL(url);
    if (!/^https?:$/.test(parsed.protocol)) throw new TypeError(`not an http or https URL: ${url}`);
    this.#base = (parsed.origin + parsed.pathname).replace(/\/+$/, '');
    this.#options = { timeoutMs: DEFAULT_TIMEOUT_MS, wsAuth: 'subprotocol', ...options };
    if (!['subprotocol', 'ticket', 'header'].includes(this.#options.wsAuth))
      throw new TypeError("wsAuth is 'subprotocol', 'ticket' or 'header'");
  }

  /** Creates a panel from NXML (a string), a definition, or `{id?, source}`. */
  createPanel(panel, options = {}) {
    const isText = typeof panel === 'string';
    return this.#json('POST', '/panels', {
      ...options,
      type: isText ? 'application/xml' : 'application/json',
      body: isText ? panel : JSON.stringify(panel),
    });
  }

  /** One page of panels, by id. */
  listPanels({ limit, after, ...options } = {}) {
    const query = new URLSearchParams();
    if (limit !== undefined) query.set('limit', limit);
    if (after !== undefined) query.set('after', after);
    return this.#json('GET', query.toString() ? `/panels?${query}` : '/panels', options);
  }

  /** All panels, page by page. */
  async *panels(options = {}) {
    for (let after; ;) {
      const { panels } = await this.listPanels({ limit: PAGE, after, ...options });
      yield* panels;
      if (panels.length < PAGE) return;
      after = panels[panels.length - 1].id;
    }
  }

  getPanel(id, options) {
    return this.#json('GET', this.#path(id), options);
  }

  /** The state and its version; null if the version is still `ifNot`. */
  async getState(id, { ifNot, ...options } = {}) {
    const headers = ifNot === undefined ? {} : { 'If-None-Match': `"${ifNot}"` };
    const { response, text } = await this.#request('GET', `${this.#path(id)}/state`, { ...options, headers });
    return response.status === 304 ? null : JSON.parse(text);
  }

  async deletePanel(id, options) {
    await this.#request('DELETE', this.#path(id), options);
  }

  /**
   * Runs a tool and resolves to its result, or, with `respondAsync`, to that of its first suspension.
   * Rejects with ExecutionError if the handler ended with an error.
   */
  async trigger(id, tool, args = {}, { idempotencyKey, requestId, respondAsync, ...options } = {}) {
    const headers = {};
    if (idempotencyKey !== undefined) headers['Idempotency-Key'] = idempotencyKey;
    if (requestId !== undefined) headers['X-Request-Id'] = requestId;
    if (respondAsync) headers.Prefer = 'respond-async';
    const path = `${this.#path(id)}/trigger/${encodeURIComponent(checked(tool, TOOL, "a tool's name"))}`;
    const result = await this.#json('POST', path, {
      timeoutMs: 0, // how long handlers may take is for the server to say
      ...options,
      headers,
      type: 'application/json',
      body: JSON.stringify(args),
    });
    if (result.status === 'error') throw new ExecutionError(result);
    return result;
  }

  /** A ticket for one WebSocket on the panel. */
  createTicket(id, options) {
    return this.#json('POST', `${this.#path(id)}/ws-ticket`, options);
  }

  /** Watches a panel, and runs its tools, over a WebSocket that is opened again when it ends. */
  connect(id, options) {
    this.#path(id);
    return new LivePanel({
      id,
      getState: (more) => this.getState(id, more),
      open: () => this.#openSocket(id),
      renewable: typeof this.#options.token === 'function',
    }, options);
  }

  #path(id) {
    return `/panels/${checked(id, ID, "a panel's id")}`;
  }

  async #token() {
    const { token } = this.#options;
    if (typeof token !== 'function') return token;
    try {
      return await token();
    } catch (cause) {
      throw new NexusError('TOKEN', 'there is no token', { cause });
    }
  }

  async #openSocket(id) {
    const Socket = this.#options.WebSocket ?? globalThis.WebSocket;
    if (!Socket)
      throw new TypeError('there is no WebSocket here: pass one as an option, as of the package ws');
    const { wsAuth } = this.#options;
    const url = `${this.#base.replace(/^http/, 'ws')}${this.#path(id)}/ws`;
    const token = await this.#token();
    if (token === undefined || token === null) return new Socket(url, ['nexus.v1']);
    if (wsAuth === 'header')
      return new Socket(url, ['nexus.v1'], { headers: { Authorization: `Bearer ${token}` } });
    if (wsAuth === 'subprotocol') return new Socket(url, ['nexus.v1', `bearer.${token}`]);
    const { ticket } = await this.createTicket(id);
    return new Socket(`${url}?ticket=${encodeURIComponent(ticket)}`, ['nexus.v1']);
  }

  async #json(method, path, options) {
    const { text } = await this.#request(method, path, options);
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new NexusError('PROTOCOL', 'the server answered with something that is not JSON', { cause });
    }
  }

  // Sends and reads all of the answer. Of what `fetch` throws, a TypeError says that there was none.
  async #exchange(path, init) {
    const fetch = this.#options.fetch ?? globalThis.fetch;
    try {
      const response = await fetch(this.#base + path, { ...init, redirect: 'error', credentials: 'omit' });
      return { response, text: await response.text() };
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      throw new ConnectionError(`no answer from ${this.#base}`, {
        mayHaveRun: init.method !== 'GET', cause: error,
      });
    }
  }

  async #request(method, path, { headers, type, body, signal, timeoutMs = this.#options.timeoutMs } = {}) {
    const limit = limited(signal, timeoutMs);
    try {
      limit.signal.throwIfAborted();
      const token = await this.#token();
      const sent = { ...headers };
      if (type) sent['Content-Type'] = type;
      if (token !== undefined && token !== null) sent.Authorization = `Bearer ${token}`;
      const answer = await this.#exchange(path, { method, body, headers: sent, signal: limit.signal });
      if (answer.response.ok || answer.response.status === 304) return answer;
      throw refusalOf(answer.response, answer.text);
    } catch (error) {
      if (limit.timedOut())
        throw new TimeoutError(`no answer within ${timeoutMs} ms`, { mayHaveRun: method !== 'GET' });
      throw signal?.aborted ? signal.reason : error;
    } finally {
      limit.done();
    }
  }
}
