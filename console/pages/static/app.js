// What every page does: shows what the server tells, keeps it fresh, says how old it is, and answers keys.
import { html, render } from './preact.js';
import { watch } from './nav.js';
import { Icon, OLD_S, Words } from './parts.js';
import { clock, duration, plain, zone } from './text.js';
import { look, onView, range, view } from './view.js';

/** @import { Part, State } from './parts.js' */
/** @typedef {{ state: State, sentence: (string | number)[], why: (string | number)[], as_of: number | null, now: number }} Page */

const STALE_S = 60, FAILED_S = 10;

/**
 * What is in the page: every page is made from one shell.
 * @param {string} id
 */
const part = id => /** @type {HTMLElement} */ (document.getElementById(id));
const first = part('first'), { page: NAME, ranges = '' } = document.body.dataset;
/** @type {Record<string, ((event: MessageEvent) => void)[]>} */
const listeners = {};
/** @type {EventSource | null} */
let source = null;

/**
 * Listens to one kind of the server's messages: one stream a tab, whoever asks.
 * @param {string} kind
 * @param {(event: MessageEvent) => void} then
 */
export function on(kind, then) {
  (listeners[kind] ??= []).push(then);
  source?.addEventListener(kind, then);
}

function listen() {
  const begun = source = new EventSource('/api/v1/events');
  for (const [kind, all] of Object.entries(listeners)) for (const then of all) begun.addEventListener(kind, then);
}

/** @typedef {{ send?: unknown, once?: string, method?: string, signal?: AbortSignal }} How send: what is posted; once: what is sent again with it is done once */

/**
 * Sends a question to the server, or what is to be done; raises Error with what is wrong and what to do.
 * @param {string} address
 * @param {How} [how]
 * @returns {Promise<Response>}
 */
export async function request(address, { send, once, method = send === undefined ? 'GET' : 'POST', signal } = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: 'application/json' };
  if (method !== 'GET') {
    headers['Content-Type'] = 'application/json';
    headers['X-Tillwatch-CSRF'] = /** @type {HTMLMetaElement | null} */ (document.querySelector('meta[name="csrf"]'))?.content ?? '';
  }
  if (once) headers['Idempotency-Key'] = once;
  let answer;
  try {
    answer = await fetch(address, { method, headers, signal, cache: 'no-cache', body: send === undefined ? undefined : JSON.stringify(send) });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Error('The console does not answer.');
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => null);
  throw Object.assign(new Error(told?.detail ?? `The console answered ${answer.status}.`), { status: answer.status });
}

/**
 * What the server answers as JSON; null where it says nothing.
 * @param {string} address
 * @param {How} [how]
 * @returns {Promise<any>}
 */
export async function ask(address, how) {
  const answer = await request(address, how);
  return answer.status === 204 ? null : answer.json();
}

/**
 * What the server told, how old that is in seconds, and what went wrong with the last question.
 * @template T
 * @typedef {{ told: T, age: number | null, error: string | null }} Seen
 */

/**
 * Runs a page. pushed: the kind of message that brings the whole page; otherwise it is asked for every `every_s`.
 * @template {Page} T
 * @param {(seen: Seen<T>) => Part} View
 * @param {{ pushed?: string | null, every_s?: number }} [how]
 */
export function page(View, { pushed = null, every_s = 5 } = {}) {
  const root = part('page');
  /** @type {T} */
  let told = JSON.parse(first.textContent ?? '');
  /** @type {string | null} */
  let error = null;
  /** @type {AbortController | null} */
  let asking = null;
  let said = '';
  // The server's clock and ours may differ, and an answer may be one that was given to others a moment ago: a tick never is.
  let ahead = told.now - performance.now();
  const age = () => told.as_of == null ? null : (ahead + performance.now() - told.as_of) / 1000;
  const show = () => { render(html`<${View} told=${told} age=${age()} error=${error} />`, root); fresh(); };

  /** @param {T} next */
  function take(next) { told = next; ahead = Math.max(ahead, next.now - performance.now()); error = null; show(); }

  async function again() {
    asking?.abort();
    const mine = asking = new AbortController();
    const limit = setTimeout(() => mine.abort(), FAILED_S * 1000);
    try { take(await ask(`/api/v1/pages/${NAME}${pathOf()}${location.search}`, { signal: mine.signal })); }
    catch (problem) {
      if (mine !== asking) return;
      error = problem.name === 'AbortError' ? 'The console takes too long to answer.' : problem.message;
      show();
    } finally {
      clearTimeout(limit);
      if (mine === asking) asking = null;
    }
  }

  function fresh() {
    const seconds = age(), state = seconds === null ? 'nodata' : seconds > OLD_S ? 'stale' : 'ok';
    part('main').classList.toggle('stale', state === 'stale');
    const box = part('fresh');
    box.dataset.s = state;
    render(seconds === null || told.as_of === null ? html`<${Icon} name="nodata" /> No data yet`
      : html`${state === 'stale' && html`<${Icon} name="stale" />`} Data to <b>${clock(told.as_of, true)}</b> · ${duration(seconds)} old · ${zone()}`, box);
    const since = seconds !== null && seconds > STALE_S && !['stale', 'behind'].includes(told.state) ? told.as_of : null;
    if (since !== null) say('stale', ['Nothing is known since ', since, '.'], ['Until then: ', ...told.sentence]);
    else say(told.state, told.sentence, told.why);
  }

  /**
   * @param {State} state
   * @param {(string | number)[]} sentence
   * @param {(string | number)[]} why
   */
  function say(state, sentence, why) {
    const now = JSON.stringify([state, sentence, why]), box = document.getElementById('verdict');
    if (now === said || !box) return;  // a verdict is announced once
    said = now;
    box.dataset.s = state;
    const shown = { '.mark': html`<${Icon} name=${state} />`, h1: html`<${Words} parts=${sentence} />`, '.why': html`<${Words} parts=${why} />` };
    for (const [name, words] of Object.entries(shown)) { const place = box.querySelector(name); if (place) render(words, place); }
    document.title = `${plain(sentence)} · Tillwatch`;
  }

  for (const place of [root, part('fresh'), ...document.querySelectorAll('#verdict :is(.mark, h1, .why)')]) place.replaceChildren();
  show();
  setInterval(show, 1000);
  onView(() => { press(); again(); });
  on('tick', event => { ahead = Date.parse(JSON.parse(event.data).now) - performance.now(); });
  if (pushed) on(pushed, event => take(JSON.parse(event.data)));
  else {
    const soon = () => document.hidden || asking || again();
    setInterval(soon, every_s * 1000);
    on('alert', soon);
    /** @type {string | null} */
    let pulse = null;  // that the figures are of now no more, or again, is no matter of the next time
    on('tick', event => { const { state } = JSON.parse(event.data), other = pulse !== null && state !== pulse; pulse = state; if (other) soon(); });
  }
  document.addEventListener('visibilitychange', () => document.hidden || pushed || again());
  watch(on, ask);
  listen();
  return { again };
}

const pathOf = () => location.pathname.split('/').slice(2).map(part => `/${part}`).join('');

// --- the bar: lengths of time ------------------------------------------------------------------------------------------

/**
 * @param {string} name of a `data-` attribute
 * @returns {NodeListOf<HTMLElement>}
 */
const buttons = name => document.querySelectorAll(`[data-${name}]`);

function press() {
  const now = view(), chosen = now.get('from') ? 'span' : now.get('range') ?? ranges.split(' ')[0];
  for (const button of buttons('range')) button.setAttribute('aria-pressed', String(button.dataset.range === chosen));
  const brushed = document.getElementById('brushed'), from = now.get('from'), to = now.get('to');
  if (!brushed) return;
  brushed.hidden = !from;
  if (from && to) brushed.querySelector('span')?.replaceChildren(`${clock(Date.parse(from))} to ${clock(Date.parse(to))} `);
}

for (const button of buttons('range')) button.addEventListener('click', () => range(button.dataset.range));
document.getElementById('brushed')?.addEventListener('click', () => look({ from: null, to: null }));
press();

// --- the theme and the keys --------------------------------------------------------------------------------------------

const dialog = /** @type {HTMLDialogElement} */ (part('keys'));
/** @type {Record<string, () => unknown>} */
const own = {};
/** @type {Record<string, () => void>} */
const does = {
  theme() {
    const next = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark';
    document.documentElement.dataset.theme = next;
    try { localStorage.setItem('tillwatch-theme', next); } catch { /* storage is switched off */ }
    dispatchEvent(new Event('tillwatch:theme'));
  },
  keys() { dialog.showModal(); },
};
let going = 0;

/**
 * What single letters do on this page, besides what they do everywhere: for each what it does, in words, and the doing.
 * @param {Record<string, [string, () => unknown]>} map
 */
export function keys(map) {
  for (const [key, [what, does]] of Object.entries(map)) {
    if (!own[key]) {
      const kbd = document.createElement('kbd'), dt = document.createElement('dt'), dd = document.createElement('dd');
      kbd.textContent = key;
      dt.append(kbd);
      dd.append(what);
      dialog.querySelector('dl')?.prepend(dt, dd);
    }
    own[key] = does;
  }
}

/**
 * Next and previous row of what can be opened.
 * @param {1 | -1} by
 */
function step(by) {
  const rows = [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('#page [data-row]'))], at = rows.findIndex(one => one === document.activeElement);
  rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? 0 : at + by))]?.focus();
}

for (const button of buttons('do')) button.addEventListener('click', () => does[button.dataset.do ?? '']?.());
addEventListener('keydown', event => {
  const typing = event.target instanceof Element && event.target.closest('input, textarea, select, dialog, [contenteditable]');
  if (typing || event.metaKey || event.ctrlKey || event.altKey) return;
  const key = event.key;
  if (/^[0-9]$/.test(key) && performance.now() - going < 900) /** @type {HTMLElement | null} */ (document.querySelector(`a[data-key="${key}"]`))?.click();
  else if (key === 'g') going = performance.now();
  else if (key === 't') does.theme();
  else if (key === '?') does.keys();
  else if (key === 'j' || key === 'k') step(key === 'j' ? 1 : -1);
  else if (own[key]) own[key]();
  else return;
  event.preventDefault();
});
