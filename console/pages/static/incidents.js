// Incidents: what is open, then the last ones. The filter is in the address.
import { on, page } from './app.js';
import { Empty, Mark, OLD_S, Rule, Section, Table, Tiles, Time } from './parts.js';
import { html } from './preact.js';
import { duration } from './text.js';
import { look, view } from './view.js';

/** @import { IncidentRow, IncidentsPage } from './api.js' */
/** @import { Seen } from './app.js' */
/** @import { Column } from './parts.js' */

const STATES = ['open', 'over', 'triggered', 'acknowledged', 'investigating', 'mitigated', 'resolved', 'reviewed'];
const SEVERITIES = ['critical', 'high', 'medium', 'low'];

const head = (/** @type {string} */ title) => title.split(':')[0].replace(/\.$/, '');
const who = (/** @type {IncidentRow} */ one) => one.assignee ?? (one.escalation ? `the ${one.escalation} is asked` : 'nobody is asked');
/** @type {Column<IncidentRow>[]} */
const OPEN = [
  { name: '#', cell: one => html`<a href=${`/incidents/${one.number}`}>${one.number}</a>` },
  { name: 'Level', cell: one => html`<${Mark} state=${one.state} word=${one.level} />` },
  { name: 'What', cell: one => html`<b>${head(one.title)}</b><span class="sub">${one.rules.join(', ')}</span>` },
  { name: 'Status', cell: one => one.status },
  { name: 'Who', cell: who },
  { name: 'Since', hide: true, cell: one => html`<span class="num"><${Time} ms=${Date.parse(one.since)} seconds /></span>` },
  { name: 'Open for', right: true, cell: one => duration(one.lasted_s) },
];
/** @type {Column<IncidentRow>[]} */
const LAST = [
  OPEN[0],
  { name: 'Level', cell: one => one.level },
  OPEN[2],
  { name: 'Status', cell: one => one.status },
  { name: 'Began', hide: true, cell: OPEN[5].cell },
  { name: 'Lasted', right: true, cell: one => duration(one.lasted_s) },
];
const room = (/** @type {IncidentRow} */ one) => `/incidents/${one.number}`;

/** @param {{ name: string, label: string, options: string[] }} props */
const Filter = ({ name, label, options }) => html`<label class="pick">${label} <select class="field" value=${view().get(name) ?? ''} onChange=${(/** @type {{ target: HTMLSelectElement }} */ event) => look({ [name]: event.target.value || null, before: null })}>
  <option value="">all</option>${options.map(one => html`<option value=${one}>${one}</option>`)}</select></label>`;

/** @param {Seen<IncidentsPage>} seen */
const Incidents = ({ told, age, error }) => html`
  ${error && html`<p class="err"><${Mark} state="failing" word="Not loaded" /> ${error}</p>`}
  <${Tiles} tiles=${told.tiles} age=${age !== null && age > OLD_S ? age : null} />
  <p class="frozen">Incidents of the last 30 days that people were told of; false alarms as people judged them.</p>
  <${Section} title="Open now" unit="worst first" end=${html`<${Filter} name="state" label="Status" options=${STATES} /> <${Filter} name="severity" label="Severity" options=${SEVERITIES} />`}>
    <${Table} columns=${OPEN} rows=${told.open} open=${room} state=${(/** @type {IncidentRow} */ one) => one.state} empty="None is open." label="Open incidents" />
  <//>
  <${Rule} />
  <${Section} title="The last ones" unit="90 days are kept" end=${view().get('before') && html`<button class="btn" onClick=${() => look({ before: null })}>The latest</button>`}>
    <${Table} columns=${LAST} rows=${told.last} open=${room} empty="Incidents that are over show here." label="Incidents that are over" />
    ${told.next !== null && html`<button class="btn" onClick=${() => look({ before: told.next })}>Earlier ones</button>`}
  <//>
  ${told.followed ? null : html`<${Empty}>The notifier’s store does not answer: there may be newer ones.<//>`}`;

const { again } = page(Incidents, { every_s: 5 });
on('incident', () => again());
