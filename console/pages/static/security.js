// Security: what happened by kind, the case that is under way, signatures, policies.
import { page } from './app.js';
import { Columns, Empty, Failed, Mark, Meter, Rule, Section, Slip, Table, Tiles, Time } from './parts.js';
import { html } from './preact.js';
import { bars } from './small.js';
import { clock, duration, number, percent } from './text.js';

/** @import { Case as Loud, Compliance, Seen as Kind, SecurityPage, Signatures } from './api.js' */
/** @import { Seen } from './app.js' */
/** @import { Column } from './parts.js' */
/** @typedef {{ told: SecurityPage }} Told */

const UNKNOWN = 'Not known: it could not be read.';
const shown = (/** @type {SecurityPage} */ told) => told.live ? `last ${duration((told.end - told.start) / 1000)}` : `${clock(told.start)} to ${clock(told.end)}`;
const at = (/** @type {number | null} */ ms) => ms == null ? html`<span class="muted">–</span>` : html`<span class="num"><${Time} ms=${ms} /></span>`;
/** @param {{ of: Kind, name: string }} props */
const Bars = ({ of, name }) => html`<div class="bars wide" role="img" aria-label=${`${name}: at most ${Math.max(0, ...of.bars.filter(value => value !== null))} in a bar${of.limit === null ? '' : `, the limit is ${of.limit}`}`}>${bars(of.bars, { limit: of.limit })}</div>`;

/**
 * @param {SecurityPage} told
 * @returns {Column<Kind>[]}
 */
const kinds = told => [
  { name: 'Kind', cell: one => html`${one.name}${one.rule && html`<span class="sub">${one.rule}</span>`}` },
  { name: `${shown(told)}, ${duration(told.bar / 1000)} a bar`, cell: one => html`<${Bars} of=${one} name=${one.name} />` },
  { name: 'Last 5 min', right: true, cell: one => number(one.recent) },
  { name: 'In all', right: true, cell: one => html`<b>${number(one.total)}</b>` },
  { name: 'Last week', right: true, hide: true, cell: one => html`<span class="muted">${one.before === null ? '–' : `about ${number(one.before)}`}</span>` },
  { name: 'State', cell: one => one.state ? html`<${Mark} state=${one.state} />` : html`<span class="muted">no rule</span>` },
];
/** @type {Column<Signatures>[]} */
const SIGNATURES = [
  { name: 'Provider', cell: one => html`<b>${one.provider}</b>` },
  { name: 'Received', right: true, cell: one => number(one.received) },
  { name: 'Invalid', right: true, cell: one => number(one.invalid) },
  { name: 'Refused else', right: true, hide: true, cell: one => number(one.refused) },
  { name: 'Last invalid', right: true, cell: one => at(one.last) },
  { name: 'State', cell: one => html`<${Mark} state=${one.state} />` },
];
/** @type {Column<Compliance>[]} */
const COMPLIANCE = [
  { name: 'Area', cell: one => html`<b>${one.area}</b>` },
  { name: 'Check', cell: one => one.name },
  { name: 'Share', hide: true, cell: one => one.share === null ? html`<span class="muted">–</span>` : html`<div class="load"><${Meter} share=${one.share} /><span class="num r">${percent(one.share, one.share === 1 ? 0 : 2)}</span></div>` },
  { name: 'Count', right: true, cell: one => one.total === null ? '–' : one.passed === null ? number(one.total) : html`<span class="num">${number(one.passed)} of ${number(one.total)}</span>` },
  { name: 'State', cell: one => html`<${Mark} state=${one.state} word=${one.word} />` },
  { name: 'Last seen', right: true, hide: true, cell: one => at(one.last) },
];

/**
 * The arithmetic of an alert, and who did most of it.
 * @param {{ one: Loud }} props
 */
function Case({ one }) {
  const span = one.window_s > 0 ? ` in ${duration(one.window_s)}` : '';
  const group = Object.entries(one.group), compare = one.over ? '>' : '≤';
  const rows = [[`counted${span}`, number(one.value)], ['limit', number(one.threshold)], ...group,
    ...one.actors.map(([name, count]) => [`by ${name}, last hour`, `${number(count)} of ${number(one.total)}`])];
  return html`<${Slip} state=${one.state} rows=${rows} sum=${[html`${number(one.value)} ${compare} ${number(one.threshold)}, since <${Time} ms=${one.since} seconds />`, one.over ? 'yes' : 'no']} />
    <p class="say"><code>${one.rule}</code> ${one.summary}</p>`;
}

/** @param {Told} props */
const UnderWay = ({ told }) => told.under_way.length ? html`<ul class="changes">${told.under_way.map(one => html`<li key=${one.id} data-s=${one.open ? 'degraded' : 'ok'}>
  <${Mark} state=${one.open ? 'degraded' : 'ok'} word="" />
  <div><a href=${`/incidents/${one.id}`}>Incident ${one.number}</a>: ${one.title}
    <small>${one.level}, ${one.status}${one.owner ? `; ${one.owner} has it` : one.open ? '; nobody has taken it' : ''}${one.acknowledged === null ? '' : `; taken after ${duration((one.acknowledged - one.since) / 1000)}`}</small></div>
  <span class="ago num">${one.open ? `open ${duration((told.now - one.since) / 1000)}` : one.resolved === null ? one.status : html`closed <${Time} ms=${one.resolved} />`}</span>
</li>`)}</ul>` : html`<${Empty}>${told.known ? 'No incident about security is known.' : UNKNOWN}<//>`;

/** @param {Seen<SecurityPage>} seen */
const Security = ({ told, age, error }) => html`
  ${error && html`<${Failed} why=${error} />`}
  <${Tiles} tiles=${told.tiles} age=${told.live ? age : null} />
  <${Columns}>
    <${Section} title="Events by kind" unit="dashed: the rule’s limit, where a bar is the most in its window" wide=${8}>
      <${Table} columns=${kinds(told)} rows=${told.kinds.map(one => ({ ...one, key: one.name }))} state=${one => one.state} empty=${UNKNOWN} label="Security events by kind" />
    <//>
    <${Section} title="What fires" unit=${told.cases.length ? 'the arithmetic of it' : null} wide=${4}>
      ${told.cases.length ? told.cases.map(one => html`<${Case} key=${one.rule + one.since} one=${one} />`) : html`<${Empty}>No alert about security fires.<//>`}
    <//>
  <//>
  <${Rule} />
  <${Columns}>
    <${Section} title="Webhook signatures" unit=${shown(told)} wide=${6}><${Table} columns=${SIGNATURES} rows=${told.signatures.map(one => ({ ...one, key: one.provider }))} state=${one => one.state} empty=${told.known ? 'Providers show with their first webhook.' : UNKNOWN} label="Webhook signatures by provider" /><//>
    <${Section} title="Under way" unit="incidents about security" wide=${6}><${UnderWay} told=${told} /><//>
  <//>
  <${Rule} />
  <${Section} title="Compliance" unit=${`what events told, ${shown(told)}`}><${Table} columns=${COMPLIANCE} rows=${told.compliance.map(one => ({ ...one, key: `${one.area} ${one.name}` }))} state=${one => one.state === 'ok' ? null : one.state} empty=${UNKNOWN} label="Compliance" /><//>`;

page(Security);
