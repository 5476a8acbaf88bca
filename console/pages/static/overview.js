// The first page: can customers pay, and if not, what is it.
import { page } from './app.js';
import { shares, TimeChart, whole } from './charts.js';
import { Columns, Icon, Mark, Pipe, Rule, Section, Table, Tiles, Time } from './parts.js';
import { html } from './preact.js';
import { clock, duration, NB, percent } from './text.js';

/** @import { IncidentBrief, Overview as Told, Provider, Story } from './api.js' */
/** @import { Seen } from './app.js' */
/** @import { Column } from './parts.js' */

const MINUTE = 60_000;
/** @type {Record<string, string>} */
const KINDS = { opened: 'failing', reopened: 'failing', acknowledged: 'person', investigating: 'person', mitigated: 'person', noted: 'person', assigned: 'person', published: 'globe', impact: 'bolt', resolved: 'ok' };
const or = (/** @type {string} */ text, /** @type {string} */ unit) => text === '–' ? '–' : `${text}${NB}${unit}`;

/** @type {Column<Provider>[]} */
const PROVIDERS = [
  { name: 'Provider', cell: one => html`<b>${one.name}</b>` },
  { name: 'Success', right: true, cell: one => or(one.success, '%') },
  { name: 'Mean', right: true, cell: one => or(one.latency, 's') },
  { name: 'A minute', right: true, hide: true, cell: one => one.per_minute },
  { name: 'State', cell: one => html`<${Mark} state=${one.state} />` },
];
/** @type {Column<Story>[]} */
const ALERTS = [
  { name: 'Since', cell: one => html`<span class="num"><${Time} ms=${one.since} seconds /></span>` },
  { name: 'Level', cell: one => html`<${Mark} state=${one.state} word=${one.level} />` },
  { name: 'Rule', cell: one => html`<code>${one.rule}</code>` },
  { name: 'What', cell: one => html`${one.summary}${one.held_back && html`<span class="muted"> (pages nobody: another alert says it already)</span>`}` },
];

/** @type {Column<IncidentBrief>[]} */
const INCIDENTS = [
  { name: '#', cell: one => html`<a href=${`/incidents/${one.number}`}>${one.number}</a>` },
  { name: 'Level', cell: one => html`<${Mark} state=${one.state} word=${one.level} />` },
  { name: 'What', cell: one => html`${one.title}<span class="sub">${one.status}${one.who && `, ${one.who} has it`}</span>` },
  { name: 'Began', cell: one => html`<span class="num"><${Time} ms=${one.since} /></span>` },
  { name: 'Lasted', right: true, hide: true, cell: one => duration(one.lasted_s) },
];
const room = (/** @type {IncidentBrief} */ one) => `/incidents/${one.number}`;

/**
 * While one is open: what happened in it so far; else the last ones.
 * @param {{ told: Told }} props
 */
const Incidents = ({ told }) => told.happened.length ? html`
  <${Section} title="Happened so far" unit="latest first" wide=${5} end=${html`<a href=${room(told.incidents[0])}>Incident ${told.incidents[0].number}</a>`}>
    <ol class="tl">${told.happened.map(one => html`<li key=${one.at + one.text}><time datetime=${new Date(one.at).toISOString()}>${clock(one.at, true).slice(-8)}</time><${Icon} name=${KINDS[one.kind] ?? 'bell'} /><div><p>${one.text}</p></div></li>`)}</ol>
  <//>` : html`
  <${Section} title="Last incidents" wide=${5} end=${html`<a href="/incidents">All</a>`}>
    <${Table} columns=${INCIDENTS} rows=${told.incidents} open=${room} empty="None yet." label="Last incidents" />
  <//>`;

/** @param {Seen<Told>} seen */
const Overview = ({ told, age }) => html`
  <${Tiles} tiles=${told.tiles} age=${age} />
  <${Columns}>
    <${TimeChart} title="Success rate" unit="of all payments, by the minute, last hour" wide=${7} height=${240}
      ends=${told.minutes_end - (told.success.length - 1) * MINUTE} step=${MINUTE} splits=${shares(told.success)} told=${percent} tick=${whole}
      lines=${[{ name: 'Success', values: told.success }]} limit=${{ at: .95, label: `target 95${NB}%` }} />
    <${Section} title="Providers" unit="last 5 min, worst first" wide=${5}>
      <${Table} columns=${PROVIDERS} rows=${told.providers} state=${(/** @type {Provider} */ one) => one.state} empty="Providers show with their first payment." label="Providers" />
    <//>
  <//>
  <${Rule} />
  <${Columns}>
    <${Section} title="What fires now" unit="worst first" wide=${7}><${Table} columns=${ALERTS} rows=${told.alerts} empty="No alert fires." label="Alerts that fire" /><//>
    <${Incidents} told=${told} />
  <//>
  <${Rule} />
  <${Section} title="The pipeline behind these numbers"><${Pipe} stations=${told.pipeline} /><//>`;

page(Overview, { pushed: 'overview' });
