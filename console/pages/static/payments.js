// Payments: which fail or are slow, since when, and what became of the others.
import { page } from './app.js';
import { counts, shares, TimeChart, whole } from './charts.js';
import { Happening } from './live.js';
import { Columns, Empty, Failed, Mark, Meter, Rule, Section, Table, Tiles } from './parts.js';
import { html } from './preact.js';
import { multiple, spark } from './small.js';
import { clock, duration, NB, number, percent } from './text.js';

/** @import { After, FailureReason, HeatCell, Lines, PaymentsPage, Taken } from './api.js' */
/** @import { Seen } from './app.js' */
/** @import { Column } from './parts.js' */
/** @typedef {{ told: PaymentsPage }} Told */

/** @type {Record<string, string>} */
const SYMBOLS = { ZAR: 'R', USD: '$', EUR: '€', GBP: '£', NAD: 'N$', BWP: 'P' };
const UNKNOWN = 'Not known: it could not be read.';
const seconds = (/** @type {number | null} */ value) => value == null ? '–' : `${number(value, value < 10 ? 1 : 0)}${NB}s`;
const money = (/** @type {number | null} */ minor, /** @type {string} */ currency) => minor == null ? '–' : `${SYMBOLS[currency] ?? currency}${NB}${number(minor / 100, Math.abs(minor) < 10_000 ? 2 : 0)}`;
const set = (/** @type {string} */ name, /** @type {string} */ value) => (/** @type {HTMLElement | null} */ node) => node?.style.setProperty(name, value);
const band = (/** @type {Lines} */ lines) => lines.low && lines.high && { low: lines.low, high: lines.high };

/** What a time that is shown is called. */
const shown = (/** @type {PaymentsPage} */ told) => told.live ? `last ${duration((told.end - told.start) / 1000)}` : `${clock(told.start)} to ${clock(told.end)}`;
const now = (/** @type {PaymentsPage} */ told) => told.live ? `last ${duration((told.now_end - told.now_start) / 1000)}` : shown(told);

/** @param {Told} props */
function Charts({ told }) {
  const quiet = [...told.planned, ...told.unknown].map(one => ({ from: one.start, to: one.end, label: one.label }));
  const common = { ends: told.success.ends, step: told.step, marks: told.marks, quiet, wide: 6 };
  const step = duration(told.step / 1000), success = told.success.lines.Success, volume = told.volume.lines.Payments;
  return html`<${Columns}>
    <${TimeChart} ...${common} title="Success rate" unit=${`of all payments, ${step} a point`} splits=${shares(success, told.success.low ?? [])} told=${percent} tick=${whole}
      lines=${[{ name: 'Success', values: success }]} band=${band(told.success)} deficit limit=${{ at: .95, label: `target 95${NB}%` }} />
    <${TimeChart} ...${common} title="Payments a minute" unit=${told.volume.low ? 'against usual' : `${step} a point`} splits=${counts(4, volume, told.volume.high ?? [])} told=${value => number(value, value < 10 ? 1 : 0)} tick=${value => number(value)}
      lines=${[{ name: 'Payments', values: volume }]} band=${band(told.volume)} deficit />
  <//>`;
}

/** @param {Told} props */
function Latency({ told }) {
  const { p50, p95, p99 } = told.latency.lines, quiet = [...told.planned, ...told.unknown].map(one => ({ from: one.start, to: one.end }));
  return html`<${TimeChart} ends=${told.latency.ends} step=${told.step} marks=${told.marks} quiet=${quiet} wide=${6}
    title="Latency" unit="until the customer knows, all payments" splits=${counts(4, p99, p95)} told=${seconds} tick=${value => `${number(value)}${NB}s`}
    lines=${[{ name: 'p95', values: p95, color: '--s1', width: 2 }, { name: 'p50', values: p50, color: '--s5', width: 1.3 }, { name: 'p99', values: p99, color: '--s2', width: 1.3 }]}
    limit=${{ at: 5, label: `target: mean below 5${NB}s` }} />`;
}

/** @param {Told} props */
function Providers({ told }) {
  if (!told.providers.length) return html`<${Empty}>Providers show with their first payment.<//>`;
  const values = told.providers.flatMap(one => [...one.values, ...(one.low ?? [])]).filter(value => value != null);
  const low = shares(values)[0];
  return html`<div class="multi">${told.providers.map(one => html`<div key=${one.name}>
    <h3>${one.name}<span class="num">${one.figure}</span></h3>
    <div class="spark" role="img" aria-label=${`Success rate of ${one.name} over time, ${whole(low)} to 100${NB}%: now ${one.figure}`}>${multiple(one.values, one.low && one.high && { low: one.low, high: one.high }, low, 1)}</div>
    <div class="ends num"><span>${whole(low)} to 100${NB}%</span></div>
    <p class="num"><${Mark} state=${one.state} /> ${one.note}</p>
  </div>`)}</div>${told.others > 0 && html`<p class="say">and ${told.others} more, which do better.</p>`}`;
}

const shade = (/** @type {number | null} */ below) => below == null || below < 1 ? 0 : below < 3 ? 1 : below < 10 ? 2 : below < 30 ? 3 : 4;
const signed = (/** @type {number} */ value) => `${value < 0 ? '+' : value > 0 ? '−' : ''}${Math.abs(value).toFixed(1)}`;

/** @param {Told} props */
function Heat({ told }) {
  const { methods, rows, against } = told.heat;
  if (!rows.length) return html`<${Empty}>Providers and methods show with their first payment.<//>`;
  const cell = (/** @type {HeatCell | null} */ one) => one === null ? html`<td class="none">–<span class="sr">not offered</span></td>`
    : one.share === null ? html`<td class="hatch">no data</td>`
    : html`<td data-h=${shade(one.below)}>${percent(one.share)}<small>${one.below === null ? `of ${number(one.count)}` : `${signed(one.below)} pt of ${number(one.count)}`}</small></td>`;
  return html`<div class="scroll" tabindex="0" role="group" aria-label="Success by provider and method"><table class="heat">
    <thead><tr><th scope="col">Provider</th>${methods.map(one => html`<th scope="col">${one}</th>`)}</tr></thead>
    <tbody>${rows.map(row => html`<tr key=${row.provider}><th scope="row">${row.provider}</th>${row.cells.map(cell)}</tr>`)}</tbody>
  </table></div>
  <p class="key">${against ? html`<span><i ref=${set('background', 'var(--heat-0)')}></i>as usual</span><span><i ref=${set('background', 'var(--heat-1)')}></i>1 to 3 pt below</span><span><i ref=${set('background', 'var(--heat-2)')}></i>3 to 10</span><span><i ref=${set('background', 'var(--heat-3)')}></i>10 to 30</span><span><i ref=${set('background', 'var(--heat-4)')}></i>over 30</span><span>usual: ${against}</span>`
    : 'What is usual is not known yet, so nothing is shaded.'}<span><i class="hatch"></i>no data</span><span>– not offered</span></p>`;
}

/** @param {Told} props */
const Funnel = ({ told }) => told.funnel[0].count ? html`<ol class="funnel">${told.funnel.map(one => html`<li key=${one.name}><span>${one.name}</span>
  <span class="bar-t" ref=${node => { node?.style.setProperty('--v', String(Math.min(100, 100 * (one.share ?? 0)))); node?.style.setProperty('--at', String(100 * (one.usual ?? 0))); }}><i></i>${one.usual !== null && html`<u></u>`}</span>
  <span class="v num"><b>${number(one.count)}</b><span class="muted">${one.of_before === null ? '' : percent(one.of_before)}</span></span></li>`)}</ol>
  ${told.leaving && html`<p class="say">${told.leaving}</p>`}` : html`<${Empty}>The funnel shows with the first payment that is begun.<//>`;

/** @type {Column<FailureReason & { of: number }>[]} */
const REASONS = [
  { name: 'Reason', cell: one => html`<code>${one.reason}</code>` },
  { name: 'Fault', cell: one => html`<span class="soft">${one.fault}</span>` },
  { name: 'Share', hide: true, cell: one => html`<${Meter} share=${one.of} />` },
  { name: 'Count', right: true, cell: one => html`<b>${number(one.count)}</b>` },
  { name: 'Last week', right: true, cell: one => html`<span class="muted">${one.before === null ? '–' : `about ${number(one.before)}`}</span>` },
];
/** @type {Column<Taken>[]} */
const REVENUE = [
  { name: 'Currency', cell: one => html`<b>${one.currency}</b>` },
  { name: 'Trend', hide: true, cell: one => html`<div class="spark">${spark(one.trend, null, { low: 0, high: Math.max(1, ...one.trend.map(value => value ?? 0)), height: 22 })}</div>` },
  { name: 'Taken', right: true, cell: one => money(one.taken, one.currency) },
  { name: 'Payments', right: true, hide: true, cell: one => number(one.payments) },
  { name: 'A payment', right: true, cell: one => money(one.mean, one.currency) },
  { name: 'Last week', right: true, cell: one => html`<span class="muted">${one.before === null ? '–' : `about ${money(one.before, one.currency)}`}</span>` },
];
/** @type {Column<After>[]} */
const AFTER = [
  { name: 'What', cell: one => html`${one.name}${one.note && html`<span class="sub">${one.note}</span>`}` },
  { name: 'Trend', hide: true, cell: one => html`<div class="spark">${spark(one.trend, null, { height: 22 })}</div>` },
  { name: 'Now', right: true, cell: one => html`<b>${one.figure}</b>` },
  { name: 'Last week', right: true, cell: one => html`<span class="muted">${one.before}</span>` },
];

/** @param {Seen<PaymentsPage>} seen */
const Payments = ({ told, age, error }) => html`
  ${error && html`<${Failed} why=${error} />`}
  <${Tiles} tiles=${told.tiles} age=${told.live ? age : null} />
  <${Charts} told=${told} />
  <${Rule} />
  <${Section} title="Providers" unit=${`success rate, ${shown(told)}, one scale; figure of the ${told.judged}, furthest below its own usual first`}><${Providers} told=${told} /><//>
  <${Rule} />
  <${Columns}>
    <${Latency} told=${told} />
    <${Section} title="Provider × method" unit=${`success, ${now(told)}; shade = points below usual`} wide=${6}><${Heat} told=${told} /><//>
  <//>
  <${Rule} />
  <${Columns}>
    <${Section} title="From checkout to the course" unit=${`${shown(told)}${told.funnel[0].usual ? '; mark = last week' : ''}`} wide=${6}><${Funnel} told=${told} /><//>
    <${Section} title="Why payments fail" unit=${`${shown(told)}, ${number(told.failed)} of ${number(told.finished)}${told.reasons.some(one => one.before !== null) ? '; most above last week first' : ''}`} wide=${6}>
      <${Table} columns=${REASONS} rows=${told.reasons.map(one => ({ ...one, key: `${one.fault} ${one.reason}`, of: one.count / Math.max(1, ...told.reasons.map(other => other.count)) }))} empty=${told.known ? 'No payment failed.' : UNKNOWN} label="Reasons" />
    <//>
  <//>
  <${Rule} />
  <${Columns}>
    <${Section} title="Revenue" unit=${`${shown(told)}, by currency, never added up`} wide=${6}><${Table} columns=${REVENUE} rows=${told.revenue.map(one => ({ ...one, key: one.currency }))} empty=${told.known ? 'Nothing was taken.' : UNKNOWN} label="Revenue by currency" /><//>
    <${Section} title="After the payment" unit="until the course opens, and how it was" wide=${6}><${Table} columns=${AFTER} rows=${told.after.map(one => ({ ...one, key: one.name }))} empty="" label="After the payment" /><//>
  <//>
  <${Rule} />
  <${Happening} />`;

page(Payments);
