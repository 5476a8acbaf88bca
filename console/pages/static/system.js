// System health: what is probed, what others answer, how loaded the machines are, what goes wrong.
import { page } from './app.js';
import { counts, TimeChart, whole } from './charts.js';
import { Columns, Failed, Mark, Meter, Rule, Section, Slip, Table, Tiles } from './parts.js';
import { html } from './preact.js';
import { bars, spark } from './small.js';
import { clock, duration, NB, number, percent } from './text.js';

/** @import { Component, Dependency, Faults, Health, Host, Lines, Load, SystemPage } from './api.js' */
/** @import { Seen } from './app.js' */
/** @import { Column, State } from './parts.js' */

const UNKNOWN = 'Not known: it could not be read.';
const ms = (/** @type {number | null} */ value) => value == null ? '–' : value < 1000 ? `${number(value, value < 10 ? 1 : 0)}${NB}ms` : `${number(value / 1000, 1)}${NB}s`;
const aged = (/** @type {number | null} */ seconds) => seconds == null ? '–' : `${duration(seconds)} ago`;
const shown = (/** @type {SystemPage} */ told) => told.live ? `last ${duration((told.end - told.start) / 1000)}` : `${clock(told.start)} to ${clock(told.end)}`;
const lines = (/** @type {Lines} */ of) => Object.entries(of.lines).map(([name, values], at) => ({ name, values, color: ['--s1', '--s2', '--s5'][at] }));

/** @type {Column<Component>[]} */
const COMPONENTS = [
  { name: 'Component', cell: one => html`<b>${one.name}</b>${one.note && html`<span class="sub">${one.note}</span>`}` },
  { name: 'State', cell: one => html`<${Mark} state=${one.state} word=${one.word} />` },
  { name: 'Checked', right: true, cell: one => aged(one.checked_s) },
  { name: 'Answers', hide: true, cell: one => html`<div class="spark">${spark(one.trend, null, { height: 22 })}</div>` },
  { name: 'p95', right: true, cell: one => ms(one.p95_ms) },
  { name: 'Errors, 1 h', right: true, hide: true, cell: one => number(one.errors) },
  { name: 'Uptime, 24 h', right: true, cell: one => percent(one.day, 2) },
  { name: '30 days', right: true, hide: true, cell: one => percent(one.month, 2) },
];
/** @type {Column<Dependency>[]} */
const SERVICES = [
  { name: 'Service', cell: one => html`${one.name}${one.failed !== null && one.failed > 0 && html`<span class="sub">${percent(one.failed)} of ${number(one.calls)} got no connection</span>`}` },
  { name: 'State', cell: one => html`<${Mark} state=${one.state} word=${one.state === 'ok' ? 'Answers' : undefined} />` },
  { name: 'p95', right: true, cell: one => ms(one.p95_s == null ? null : one.p95_s * 1000) },
];
/** @type {Column<Faults>[]} */
const FAULTS = [
  { name: 'Component', cell: one => one.component },
  { name: '24 h, an hour a bar', cell: one => html`<div class="bars" role="img" aria-label=${`Errors of ${one.component} by the hour, the last ${one.hours.at(-1) ?? 0}`}>${bars(one.hours)}</div>` },
  { name: 'Last hour', right: true, cell: one => html`<b>${number(one.hour)}</b>` },
  { name: 'Critical', right: true, cell: one => number(one.critical) },
];
/** @type {Column<{ name: string, count: number }>[]} */
const CATEGORIES = [{ name: 'Category', cell: one => one.name }, { name: '24 h', right: true, cell: one => number(one.count) }];
/** @type {Record<string, string>} */
const SAID = { cpu: 'CPU', memory: 'Memory', disk: 'Disk', network: 'Network' };

/** @type {Record<Health['overall_health'], State>} */
const VERDICTS = { healthy: 'ok', degraded: 'degraded', unhealthy: 'failing' };

/**
 * What /api/health answers, to the letter.
 * @param {{ health: Health }} props
 */
function Answer({ health }) {
  const ages = Object.fromEntries(health.checks.map(one => [one.name, one.age_s]));
  const age = (/** @type {string} */ name) => ages[name] == null ? 'not seen' : duration(ages[name]);
  const part = (/** @type {keyof Health} */ field, /** @type {string} */ name) => [field, html`${String(health[field])} <span class="muted">${age(name)}</span>`];
  const bad = health.checks.filter(one => one.state !== 'healthy');
  return html`<${Slip} state=${VERDICTS[health.overall_health]} sum=${[health.overall_health, bad.length ? `${bad.length} of ${health.checks.length} not healthy` : 'all healthy']} rows=${[
    ['overall_health', health.overall_health],
    part('api_connectivity', 'api'), part('database_connectivity', 'database'), part('webhook_processing', 'webhook'), part('payment_system', 'payment'),
    ['response_time', health.response_time == null ? 'null' : `${number(health.response_time, 1)}${NB}ms`],
    ['uptime_percentage', health.uptime_percentage == null ? 'null' : String(health.uptime_percentage)],
  ]} />
  ${bad.map(one => html`<p class="frozen" key=${one.name}><b>${one.name}</b>: ${one.state}, ${one.detail}</p>`)}
  <p class="frozen">True takes evidence of the last 60 s; a verdict from older data is never healthy.</p>`;
}

/** @param {{ load: Load | null }} props */
const Loaded = ({ load }) => load == null || load.value == null ? html`<span class="muted">–<span class="sr">not known</span></span>`
  : html`<div class="load"><${Meter} share=${load.value / 100} state=${load.state === 'ok' ? undefined : load.state} ticks=${[load.warning, load.critical].filter(tick => tick != null).map(tick => tick / 100)} />
    ${load.state === 'ok' ? html`<span class="num">${number(load.value)}${NB}%</span>` : html`<${Mark} state=${load.state} word=${`${number(load.value)}${NB}%`} />`}</div>`;

/** @param {{ told: SystemPage }} props */
function Machines({ told }) {
  const names = Object.keys(told.hosts[0]?.loads ?? {});
  const limits = (/** @type {string} */ name) => { const { warning, critical } = told.hosts[0].loads[name]; return critical == null ? '' : ` ${warning}, ${critical}${NB}%`; };
  /** @type {Column<Host>[]} */
  const columns = [{ name: 'Host', cell: one => html`<b>${one.name}</b>` },
    ...names.map(name => /** @type {Column<Host>} */ ({ name: `${SAID[name] ?? name}${limits(name)}`, cell: one => html`<${Loaded} load=${one.loads[name]} />` }))];
  return html`<${Table} columns=${columns} rows=${told.hosts.map(one => ({ ...one, key: one.name }))} empty=${told.known ? 'Machines show with their first sample (resource.sampled).' : UNKNOWN} label="Resources of machines" />`;
}

/** @param {Seen<SystemPage>} seen */
const System = ({ told, age, error }) => html`
  ${error && html`<${Failed} why=${error} />`}
  <${Tiles} tiles=${told.tiles} age=${age} />
  <${Columns}>
    <${Section} title="Components" unit=${`worst first; response of the probes, ${shown(told)}`} wide=${8}>
      <${Table} columns=${COMPONENTS} rows=${told.components.map(one => ({ ...one, key: one.name }))} state=${one => one.state} empty=${told.known ? 'Components show with their first probe (health.checked).' : UNKNOWN} label="Components" />
    <//>
    <div class="c4">
      <${Section} title="What /api/health answers"><${Answer} health=${told.health} /><//>
      <${Section} title="Services outside" unit="by our calls, last 5 min">
        <${Table} columns=${SERVICES} rows=${told.dependencies.map(one => ({ ...one, key: one.name }))} state=${one => one.state} empty=${told.known ? 'Services show with the first call (call.made).' : UNKNOWN} label="Services outside" />
      <//>
    </div>
  <//>
  <${Rule} />
  <${Columns}>
    <${TimeChart} title="How long it takes" unit=${`p95, ${duration(told.step / 1000)} a point`} wide=${6} ends=${told.latency.ends} step=${told.latency.step}
      lines=${lines(told.latency)} splits=${counts(10, ...Object.values(told.latency.lines))} told=${ms} />
    <${TimeChart} title="How much of it fails" unit="share that did not end well" wide=${6} ends=${told.failing.ends} step=${told.failing.step}
      lines=${lines(told.failing)} splits=${counts(.05, ...Object.values(told.failing.lines))} told=${value => percent(value, 2)} tick=${whole} limit=${{ at: .05, label: `target below 5${NB}% of requests` }} />
  <//>
  <${Rule} />
  <${Columns}>
    <${Section} title="Resources" unit="mean of the last 5 min; marks at warning and critical" wide=${7}><${Machines} told=${told} /><//>
    <${Section} title="Errors" unit="by component" wide=${5}>
      <${Table} columns=${FAULTS} rows=${told.faults.map(one => ({ ...one, key: one.component }))} empty=${told.known ? 'No error was raised in 24 hours.' : UNKNOWN} label="Errors by component" />
      ${Object.keys(told.categories).length > 0 && html`<${Table} columns=${CATEGORIES} rows=${Object.entries(told.categories).map(([name, count]) => ({ key: name, name, count }))} empty="" label="Errors by category" />`}
    <//>
  <//>
  <p class="say">How far Tillwatch itself is: <a href="/pipeline">Pipeline</a>.</p>`;

page(System);
