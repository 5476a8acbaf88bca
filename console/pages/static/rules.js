// The rules: what each means, how it stands, and what it told of late.
import { page } from './app.js';
import { Empty, Mark, Rule, Section, Slip, Table, Tiles, Time } from './parts.js';
import { html } from './preact.js';
import { bars } from './small.js';
import { duration, number, percent } from './text.js';
import { look, view } from './view.js';

/** @import { RuleHistory, RuleInForce, RuleRecord, RuleRecords, RuleScore, RulesPage } from './api.js' */
/** @import { Seen } from './app.js' */
/** @import { Column, Part, State } from './parts.js' */

/** @type {Record<string, string>} */
const WORDS = { firing: 'Firing', no_data: 'No data', behind: 'Behind', unknown: 'Unknown', learning: 'Learning', pending: 'Pending', disabled: 'Off', ok: 'OK' };
const where = (/** @type {Record<string, unknown>} */ group) => Object.entries(group).map(([name, value]) => `${name} ${value}`).join(', ') || 'everything';

const full = (/** @type {RuleInForce} */ one) => `${one.pack}/${one.rule}`;

/** @param {{ record: RuleRecord, name: string }} props */
const Days = ({ record, name }) => html`<div class="bars" role="img" aria-label=${`Incidents of ${name} in each of the last 30 days: ${number(record.month.incidents)} in all, ${number(record.daily.at(-1))} in the last 24 h`}>${bars(record.daily)}</div>`;

const some = (/** @type {number} */ part, /** @type {number} */ of) => of ? html`${percent(part / of, 0)}<span class="sub">${number(part)} of ${number(of)}</span>` : '–';
const right = (/** @type {RuleScore | undefined} */ one) => one?.precision == null ? '–' : some(one.right, one.right + one.wrong);
const median = (/** @type {number | null} */ seconds) => seconds === null ? '–' : duration(seconds);
/** @type {[what: string, told: (score: RuleScore) => Part][]} */
const SCORE = [
  ['Incidents that people were told of', one => number(one.incidents)],
  ['Judged right, of those judged', right],
  ['Taken by somebody', one => some(one.taken, one.incidents)],
  ['Over within 10 min before anybody acted', one => some(one.by_itself, one.over)],
  ['Fired again after its end', one => some(one.again, one.incidents)],
  ['First bad event to detection, median', one => html`${median(one.detect_s)}${one.detect_s !== null && html`<span class="sub">of ${number(one.detected)}</span>`}`],
  ['First bad event to end, median', one => html`${median(one.lasted_s)}${one.lasted_s !== null && html`<span class="sub">of ${number(one.over)}</span>`}`],
];

/**
 * What came of the incidents of a rule, and since when that is known.
 * @param {{ one: RuleInForce, records: RuleRecords }} props
 */
function Score({ one, records }) {
  const record = records.rules[full(one)];
  const known = records.since === null ? 'No incident is known yet.' : html`Incidents are known since <${Time} ms=${records.since} />.`;
  const newer = records.followed ? '' : ' The notifier’s store does not answer: there may be newer ones.';
  if (!record) return html`<p class="say">It had no part in an incident that people were told of. ${known}${newer}</p>`;
  /** @type {Column<{ key: string, told: (score: RuleScore) => Part }>[]} */
  const columns = [
    { name: 'What came of it', cell: row => row.key },
    { name: '30 days', right: true, cell: row => row.told(record.month) },
    { name: '90 days', right: true, cell: row => row.told(record.quarter) },
  ];
  return html`<${Days} record=${record} name=${one.rule} /><p class="say">A bar is how many incidents opened in 24 h; the last 30 days, the last 24 h at the right.</p>
    <${Table} columns=${columns} rows=${SCORE.map(([key, told]) => ({ key, told }))} empty="" label=${`What came of the incidents of ${one.rule}`} />
    <p class="say">The last: ${record.latest.map((at, nth) => html`${nth ? ', ' : ''}<a href=${`/incidents/${at}`}>${at}</a>`)}. ${known}${newer}</p>`;
}

/** @param {{ one: RuleInForce, past?: RuleHistory, marks: Record<string, State>, records: RuleRecords }} props */
function Details({ one, past, marks, records }) {
  return html`<div class="cols"><div class="detail c6">
    <p>${one.explanation}</p><p class="soft">${one.resolves}</p>
    <${Slip} rows=${[
      ['condition', one.condition], ['severity', `${one.level} ${one.severity}`], ['apart by', one.by.join(', ') || 'nothing'], ['told by', one.channels.join(', ') || 'as its severity says'],
      ['owner', one.owner ?? 'nobody named'], ['pack', one.pack],
    ]} />
    ${one.states.length > 0 && html`<ul class="plain">${one.states.map(state => html`<li><${Mark} state=${marks[state.state]} word=${WORDS[state.state]} /> ${where(state.group)}${state.since && html`, since <${Time} ms=${Date.parse(state.since)} seconds />`}</li>`)}</ul>`}
    ${past ? html`<p class="say">Fired <b>${past.episodes}</b> times${past.explained ? html`, of which <b>${past.explained}</b> paged nobody` : ''}${past.withdrawn ? html`, <b>${past.withdrawn}</b> taken back when late events came` : ''}${past.brief ? html`, <b>${past.brief}</b> over within 2 minutes` : ''}${past.median_s != null ? html`; half were over within <b>${duration(past.median_s)}</b>` : ''}.${past.no_data ? html` Without data <b>${past.no_data}</b> times, <b>${duration(past.no_data_s)}</b> in all.` : ''}</p>`
      : html`<p class="say">It has not fired among the last alerts.</p>`}
    ${one.runbook && html`<p class="say">Runbook: <code>${one.runbook}</code></p>`}
  </div><div class="detail c6"><${Score} one=${one} records=${records} /></div></div>`;
}

/** @param {Seen<RulesPage>} seen */
function Rules({ told, age }) {
  const asked = view().get('rule'), only = view().get('state');
  const rows = told.rules.filter(one => !only || one.state === only).map(one => ({ ...one, key: full(one) }));
  const chosen = told.rules.find(one => one.rule === asked);
  /** @type {Column<RuleInForce>[]} */
  const columns = [
    { name: 'State', cell: one => html`<${Mark} state=${told.marks[one.state]} word=${WORDS[one.state]} />` },
    { name: 'Level', cell: one => one.level },
    { name: 'Rule', cell: one => html`<code>${one.rule}</code>` },
    { name: 'Means', hide: true, cell: one => one.explanation },
    { name: '30 days', hide: true, cell: one => told.records.rules[full(one)] ? html`<${Days} record=${told.records.rules[full(one)]} name=${one.rule} />` : '' },
    { name: 'Right', right: true, hide: true, cell: one => right(told.records.rules[full(one)]?.month) },
    { name: 'Fired', right: true, cell: one => told.history[one.rule]?.episodes ?? 0 },
    { name: 'Brief', right: true, hide: true, cell: one => told.history[one.rule]?.brief ?? 0 },
    { name: 'Last', right: true, cell: one => told.history[one.rule]?.last ? html`<${Time} ms=${told.history[one.rule].last} />` : '–' },
  ];
  const states = [null, ...new Set(told.rules.map(one => one.state))];
  const choose = html`<span class="seg">${states.map(one => html`<button aria-pressed=${String(only === one)} onClick=${() => look({ state: one })}>${one ? WORDS[one] : 'All'}</button>`)}</span>`;
  return html`
    <${Tiles} tiles=${told.tiles} age=${age} />
    ${told.problems.length > 0 && html`<${Section} title="Not in force" unit="what is wrong in the packs"><ul class="plain">${told.problems.map(one => html`<li><${Mark} state="degraded" word="Left out" /> ${one}</li>`)}</ul><//><${Rule} />`}
    ${chosen && html`<${Section} title=${chosen.rule} unit=${`${chosen.level}, pack ${chosen.pack}`} end=${html`<button class="btn plain" onClick=${() => look({ rule: null })}>Close</button>`}><${Details} one=${chosen} past=${told.history[chosen.rule]} marks=${told.marks} records=${told.records} /><//><${Rule} />`}
    <${Section} title="Rules" unit=${html`the gravest first; history ${told.since ? html`since <${Time} ms=${told.since} />, among the last 2,000 alerts` : 'begins with the first alert'}`} end=${choose}>
      ${rows.length ? html`<${Table} columns=${columns} rows=${rows} open=${(/** @type {RuleInForce} */ one) => () => { look({ rule: one.rule }); scrollTo(0, 0); }} label="Rules" />` : html`<${Empty}>No rule is in this state.<//>`}
    <//>`;
}

page(Rules);
