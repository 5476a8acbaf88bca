// The rules: what each means, how it stands, and what it told of late.
import { page } from './app.js';
import { Empty, Mark, Rule, Section, Slip, Table, Tiles, Time } from './parts.js';
import { html } from './preact.js';
import { duration } from './text.js';
import { look, view } from './view.js';

/** @import { RuleHistory, RuleInForce, RulesPage } from './api.js' */
/** @import { Seen } from './app.js' */
/** @import { Column, State } from './parts.js' */

/** @type {Record<string, string>} */
const WORDS = { firing: 'Firing', no_data: 'No data', behind: 'Behind', unknown: 'Unknown', learning: 'Learning', pending: 'Pending', disabled: 'Off', ok: 'OK' };
const where = (/** @type {Record<string, unknown>} */ group) => Object.entries(group).map(([name, value]) => `${name} ${value}`).join(', ') || 'everything';

/** @param {{ one: RuleInForce, past?: RuleHistory, marks: Record<string, State> }} props */
function Details({ one, past, marks }) {
  return html`<div class="detail">
    <p>${one.explanation}</p><p class="soft">${one.resolves}</p>
    <${Slip} rows=${[
      ['condition', one.condition], ['severity', `${one.level} ${one.severity}`], ['apart by', one.by.join(', ') || 'nothing'], ['told by', one.channels.join(', ') || 'as its severity says'],
      ['owner', one.owner ?? 'nobody named'], ['pack', one.pack],
    ]} />
    ${one.states.length > 0 && html`<ul class="plain">${one.states.map(state => html`<li><${Mark} state=${marks[state.state]} word=${WORDS[state.state]} /> ${where(state.group)}${state.since && html`, since <${Time} ms=${Date.parse(state.since)} seconds />`}</li>`)}</ul>`}
    ${past ? html`<p class="say">Fired <b>${past.episodes}</b> times${past.explained ? html`, of which <b>${past.explained}</b> paged nobody` : ''}${past.withdrawn ? html`, <b>${past.withdrawn}</b> taken back when late events came` : ''}${past.brief ? html`, <b>${past.brief}</b> over within 2 minutes` : ''}${past.median_s != null ? html`; half were over within <b>${duration(past.median_s)}</b>` : ''}.</p>`
      : html`<p class="say">It has not fired among the last alerts.</p>`}
    ${one.runbook && html`<p class="say">Runbook: <code>${one.runbook}</code></p>`}
  </div>`;
}

/** @param {Seen<RulesPage>} seen */
function Rules({ told, age }) {
  const asked = view().get('rule'), only = view().get('state');
  const rows = told.rules.filter(one => !only || one.state === only).map(one => ({ ...one, key: `${one.pack}/${one.rule}` }));
  const chosen = told.rules.find(one => one.rule === asked);
  /** @type {Column<RuleInForce>[]} */
  const columns = [
    { name: 'State', cell: one => html`<${Mark} state=${told.marks[one.state]} word=${WORDS[one.state]} />` },
    { name: 'Level', cell: one => one.level },
    { name: 'Rule', cell: one => html`<code>${one.rule}</code>` },
    { name: 'Means', hide: true, cell: one => one.explanation },
    { name: 'Fired', right: true, cell: one => told.history[one.rule]?.episodes ?? 0 },
    { name: 'Brief', right: true, hide: true, cell: one => told.history[one.rule]?.brief ?? 0 },
    { name: 'Last', right: true, cell: one => told.history[one.rule]?.last ? html`<${Time} ms=${told.history[one.rule].last} />` : '–' },
  ];
  const states = [null, ...new Set(told.rules.map(one => one.state))];
  const choose = html`<span class="seg">${states.map(one => html`<button aria-pressed=${String(only === one)} onClick=${() => look({ state: one })}>${one ? WORDS[one] : 'All'}</button>`)}</span>`;
  return html`
    <${Tiles} tiles=${told.tiles} age=${age} />
    ${told.problems.length > 0 && html`<${Section} title="Not in force" unit="what is wrong in the packs"><ul class="plain">${told.problems.map(one => html`<li><${Mark} state="degraded" word="Left out" /> ${one}</li>`)}</ul><//><${Rule} />`}
    ${chosen && html`<${Section} title=${chosen.rule} unit=${`${chosen.level}, pack ${chosen.pack}`} end=${html`<button class="btn plain" onClick=${() => look({ rule: null })}>Close</button>`}><${Details} one=${chosen} past=${told.history[chosen.rule]} marks=${told.marks} /><//><${Rule} />`}
    <${Section} title="Rules" unit=${html`the gravest first; history ${told.since ? html`since <${Time} ms=${told.since} />, among the last 2,000 alerts` : 'begins with the first alert'}`} end=${choose}>
      ${rows.length ? html`<${Table} columns=${columns} rows=${rows} open=${(/** @type {RuleInForce} */ one) => () => { look({ rule: one.rule }); scrollTo(0, 0); }} label="Rules" />` : html`<${Empty}>No rule is in this state.<//>`}
    <//>`;
}

page(Rules);
