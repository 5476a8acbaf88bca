// What the navigation tells on every page: how many incidents are open, who is on call, and that a new one began.
import { Icon } from './parts.js';
import { html, render } from './preact.js';
import { clock } from './text.js';

/** @import { IncidentRow, OnCall } from './api.js' */
/** @import { State } from './parts.js' */

const ONCALL_EVERY_MS = 5 * 60_000;
/** @type {Set<string>} */
const told = new Set();

/**
 * Begins to tell; takes how to listen to a kind of message, and how to ask.
 * @param {(kind: string, then: (event: MessageEvent) => void) => void} on
 * @param {(address: string) => Promise<any>} ask
 */
export function watch(on, ask) {
  on('tick', event => mark(JSON.parse(event.data)));
  on('incident', event => begun(JSON.parse(event.data)));
  const duty = () => ask('/api/v1/oncall').then(onDuty, () => {});
  duty();
  setInterval(() => document.hidden || duty(), ONCALL_EVERY_MS);
}

/**
 * The mark at the incidents: none while none is open.
 * @param {{ incidents: { open: number, state: State } }} tick
 */
function mark({ incidents }) {
  for (const place of document.querySelectorAll('[data-of="incidents"]')) {
    const few = place.closest('.tabs') !== null;
    place.classList.toggle('n', few && incidents.open > 0);
    render(few ? incidents.open || null : incidents.open ? html`<span class="st" data-s=${incidents.state}><${Icon} name=${incidents.state} />${incidents.open} open</span>` : null, place);
  }
}

/** @param {OnCall} told */
function onDuty({ now }) {
  const place = document.getElementById('oncall'), first = now.find(one => one.level === 'primary' && one.people.length);
  if (place && first) render(html`<span class="duty">On call${first.until ? ` until ${clock(Date.parse(first.until))}` : ''}<b>${first.people.join(', ')}</b></span>`, place);
}

/**
 * A new incident is announced once, with a way to it.
 * @param {IncidentRow} one
 */
function begun(one) {
  const here = location.pathname.startsWith('/incidents/');
  if (one.status !== 'triggered' || told.has(one.id) || Date.parse(one.opened_at) < performance.timeOrigin || here) return;
  told.add(one.id);
  const box = document.createElement('p');
  box.className = 'news';
  box.dataset.s = one.state;
  box.setAttribute('role', 'alert');
  document.getElementById('main')?.prepend(box);
  const close = () => box.remove();
  render(html`<${Icon} name=${one.state} /> <b>Incident ${one.number}:</b> ${one.title} <a href=${`/incidents/${one.number}`}>Open it</a> <button class="btn plain" onClick=${close}>Later</button>`, box);
}
