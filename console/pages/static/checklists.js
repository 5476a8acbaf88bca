// What is to be seen to each day, week and month. What Tillwatch can know ticks itself.
import { ask, page } from './app.js';
import { Columns, Failed, Mark, Rule, Section, Table, Time } from './parts.js';
import { html, useEffect, useState } from './preact.js';
import { duration, NB } from './text.js';

/** @import { Checklists as Lists, ItemTold, KeptReport, KeptReports } from './api.js' */
/** @import { Page, Seen } from './app.js' */
/** @import { Column, State } from './parts.js' */

/** @type {Record<string, string>} */
const NAMES = { daily: 'Each day', weekly: 'Each week', monthly: 'Each month' };
/** @type {Record<string, string>} */
const WORDS = { daily: 'day', weekly: 'week', monthly: 'month' };
const SHOWN = 12;
/** @type {Record<string, [State, string]>} */
const STATES = { done: ['ok', 'Done'], attention: ['degraded', 'Look'], open: ['nodata', 'To do'] };
/** @type {{ again: () => Promise<void> } | null} */
let shown = null;

/** @param {{ one: ItemTold }} props */
function Who({ one }) {
  if (one.state !== 'done') return null;
  const by = one.by === 'tillwatch' ? 'by itself' : `by ${one.by}`;
  return html`<span class="muted">${by}${one.by !== 'tillwatch' && one.at ? html`, <${Time} ms=${Date.parse(one.at)} />` : null}</span>`;
}

/** @param {{ one: ItemTold }} props */
function Item({ one }) {
  const [note, write] = useState(''), [busy, set] = useState(false), [wrong, say] = useState(/** @type {string | null} */ (null));
  const [state, word] = STATES[one.state], person = one.state === 'done' && one.by !== 'tillwatch';
  /** @param {boolean} done */
  async function tick(done) {
    set(true);
    say(null);
    try { await ask(`/api/v1/checklists/${one.key}`, { send: { done, note } }); write(''); await shown?.again(); }
    catch (problem) { say(problem.message); }
    finally { set(false); }
  }
  return html`<li data-s=${state}>
    <div><${Mark} state=${state} word=${word} /> <b>${one.title}</b> <${Who} one=${one} /></div>
    <div class="muted">${one.why}</div>
    ${one.evidence && html`<div>${one.evidence}${one.evidence_age_s != null && html` <span class="muted">${duration(one.evidence_age_s)} old</span>`}</div>`}
    ${one.note && html`<div>“${one.note}”</div>`}
    ${one.state !== 'done' && html`<form class="tick" onSubmit=${(/** @type {SubmitEvent} */ event) => { event.preventDefault(); tick(true); }}>
      <input type="text" maxlength="500" value=${note} onInput=${(/** @type {{ target: HTMLInputElement }} */ event) => write(event.target.value)} aria-label=${`Note on: ${one.title}`} placeholder="Note" />
      <button class="btn" disabled=${busy}>${one.state === 'attention' ? 'Seen' : 'Done'}</button>
    </form>`}
    ${person && html`<button class="btn plain" disabled=${busy} onClick=${() => tick(false)} aria-label=${`Take back: ${one.title}`}>Take back</button>`}
    ${wrong && html`<p class="err" role="alert">${wrong}</p>`}
  </li>`;
}

/** @type {Column<KeptReport>[]} */
const REPORTS = [
  { name: 'Report', cell: one => html`<a href=${`/reports/kept/${one.file}`}>${one.title}</a>` },
  { name: 'Of', cell: one => WORDS[one.kind] },
  { name: 'Written', right: true, cell: one => html`<${Time} ms=${Date.parse(one.made_at)} />` },
];

/** The reports that were written, and ways to one as it would be now. */
function Reports() {
  const [kept, set] = useState(/** @type {KeptReport[] | null} */ (null)), [wrong, say] = useState(/** @type {string | null} */ (null));
  const look = async () => {
    say(null);
    try { set(/** @type {KeptReports} */ (await ask('/api/v1/reports')).reports); }
    catch (problem) { say(problem.message); }
  };
  useEffect(() => { look(); }, []);
  const fresh = html`made now: ${Object.entries(WORDS).map(([kind, word], nth) => html`${nth ? ', ' : ''}<a href=${`/reports/${kind}`}>the last ${word}</a>`)}`;
  return html`<${Section} title="Reports" unit="written each morning by the notifier" end=${fresh}>
    ${wrong ? html`<${Failed} why=${wrong} again=${look} />`
      : html`<${Table} columns=${REPORTS} rows=${(kept ?? []).slice(0, SHOWN).map(one => ({ ...one, key: one.file }))} empty=${kept ? 'Reports show here once the notifier of this machine has written one.' : 'Asking.'} label="Reports that were written" />`}
  <//>`;
}

/** @param {Seen<Lists & Page>} seen */
const Checklists = ({ told }) => html`<${Columns}>${told.lists.map(many => html`<${Section} key=${many.kind} title=${NAMES[many.kind]}
  unit=${`${many.title} · ${many.done} of${NB}${many.items.length} done`} wide=${4}>
  <ul class="ticks">${many.items.map(one => html`<${Item} key=${`${one.key}/${many.name}`} one=${one} />`)}</ul>
<//>`)}<//><${Rule} /><${Reports} />`;

shown = page(Checklists, { every_s: 15 });
