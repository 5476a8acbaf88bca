// What every page does: shows what the server tells, keeps it fresh, says how old it is, and answers keys.
import { html, render } from './preact.js';
import { watch } from './nav.js';
import { Icon, OLD_S, Words } from './parts.js';
import { clock, duration, plain, zone } from './text.js';
import { look, onView, range, view } from './view.js';

const STALE_S = 60, FAILED_S = 10;
const $ = id => document.getElementById(id);
const first = $('first'), { page: NAME, ranges = '' } = document.body.dataset;
const listeners = {};
let source = null;

/** Listens to one kind of the server's messages: one stream a tab, whoever asks. */
export function on(kind, then) {
  (listeners[kind] ??= []).push(then);
  source?.addEventListener(kind, then);
}

function listen() {
  source = new EventSource('/api/v1/events');
  for (const [kind, all] of Object.entries(listeners)) for (const then of all) source.addEventListener(kind, then);
}

/** Sends a question to the server, or what is to be done; raises Error with what is wrong and what to do. `send`: what is posted. */
export async function request(address, { send, method = send === undefined ? 'GET' : 'POST', signal } = {}) {
  const headers = { Accept: 'application/json' };
  if (method !== 'GET') {
    headers['Content-Type'] = 'application/json';
    headers['X-Tillwatch-CSRF'] = document.querySelector('meta[name="csrf"]')?.content ?? '';
  }
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

/** What the server answers as JSON; null where it says nothing. */
export async function ask(address, how) {
  const answer = await request(address, how);
  return answer.status === 204 ? null : answer.json();
}

/**
 * Runs a page. View: a component of `{ told, age, error }`, with what the server told, how old that is in seconds, and what went
 * wrong with the last question. pushed: the kind of message that brings the whole page; otherwise it is asked for every `every_s`.
 */
export function page(View, { pushed = null, every_s = 5 } = {}) {
  const root = $('page');
  let told = JSON.parse(first.textContent), heard = performance.now(), error = null, asking = null, said = '';

  // The server's clock and ours may differ: only what passed since it told is ours.
  const age = () => told.as_of == null ? null : (told.now - told.as_of + performance.now() - heard) / 1000;
  const show = () => { render(html`<${View} told=${told} age=${age()} error=${error} />`, root); fresh(); };

  function take(next) { told = next; heard = performance.now(); error = null; show(); }

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
    $('main').classList.toggle('stale', state === 'stale');
    const box = $('fresh');
    box.dataset.s = state;
    render(seconds === null ? html`<${Icon} name="nodata" /> No data yet`
      : html`${state === 'stale' && html`<${Icon} name="stale" />`} Data to <b>${clock(told.as_of, true)}</b> · ${duration(seconds)} old · ${zone()}`, box);
    const lost = seconds !== null && seconds > STALE_S && !['stale', 'behind'].includes(told.state);
    if (lost) say('stale', ['Nothing is known since ', told.as_of, '.'], ['Until then: ', ...told.sentence]);
    else say(told.state, told.sentence, told.why);
  }

  function say(state, sentence, why) {
    const now = JSON.stringify([state, sentence, why]), box = $('verdict');
    if (now === said || !box) return;  // a verdict is announced once
    said = now;
    box.dataset.s = state;
    render(html`<${Icon} name=${state} />`, box.querySelector('.mark'));
    render(html`<${Words} parts=${sentence} />`, box.querySelector('h1'));
    render(html`<${Words} parts=${why} />`, box.querySelector('.why'));
    document.title = `${plain(sentence)} · Tillwatch`;
  }

  for (const part of [root, $('fresh'), ...($('verdict')?.querySelectorAll('.mark, h1, .why') ?? [])]) part.replaceChildren();
  show();
  setInterval(show, 1000);
  onView(() => { press(); again(); });
  if (pushed) on(pushed, event => take(JSON.parse(event.data)));
  else {
    const soon = () => document.hidden || asking || again();
    setInterval(soon, every_s * 1000);
    on('alert', soon);
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

function press() {
  const now = view(), chosen = now.get('from') ? 'span' : now.get('range') ?? ranges.split(' ')[0];
  for (const button of document.querySelectorAll('[data-range]')) button.setAttribute('aria-pressed', String(button.dataset.range === chosen));
  const brushed = $('brushed');
  if (!brushed) return;
  brushed.hidden = !now.get('from');
  if (now.get('from')) brushed.firstChild.textContent = `${clock(Date.parse(now.get('from')))} to ${clock(Date.parse(now.get('to')))} `;
}

for (const button of document.querySelectorAll('[data-range]')) button.addEventListener('click', () => range(button.dataset.range));
$('brushed')?.addEventListener('click', () => look({ from: null, to: null }));
press();

// --- the theme and the keys --------------------------------------------------------------------------------------------

const dialog = $('keys'), own = {};
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

/** What single letters do on this page, besides what they do everywhere: `{ a: [what it does, function] }`. */
export function keys(map) {
  for (const [key, [what, does]] of Object.entries(map)) {
    if (!own[key]) {
      const kbd = document.createElement('kbd'), dt = document.createElement('dt'), dd = document.createElement('dd');
      kbd.textContent = key;
      dt.append(kbd);
      dd.append(what);
      dialog.querySelector('dl').prepend(dt, dd);
    }
    own[key] = does;
  }
}

/** Next and previous row of what can be opened. */
function step(by) {
  const rows = [...document.querySelectorAll('#page [data-row]')], at = rows.indexOf(document.activeElement);
  rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? 0 : at + by))]?.focus();
}

for (const button of document.querySelectorAll('[data-do]')) button.addEventListener('click', () => does[button.dataset.do]());
addEventListener('keydown', event => {
  if (event.target.closest?.('input, textarea, select, dialog, [contenteditable]') || event.metaKey || event.ctrlKey || event.altKey) return;
  const key = event.key;
  if (/^[0-9]$/.test(key) && performance.now() - going < 900) document.querySelector(`a[data-key="${key}"]`)?.click();
  else if (key === 'g') going = performance.now();
  else if (key === 't') does.theme();
  else if (key === '?') does.keys();
  else if (key === 'j' || key === 'k') step(key === 'j' ? 1 : -1);
  else if (own[key]) own[key]();
  else return;
  event.preventDefault();
});
