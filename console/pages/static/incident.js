// The room of one incident: what happened, what it rested on, what changed before, and what can be done.
import { ask, keys, on, page } from './app.js';
import { Book } from './book.js';
import { counts, TimeChart, whole } from './charts.js';
import { question } from './form.js';
import { Columns, Empty, Icon, Mark, Meter, Rule, Section, Slip, Table, Time } from './parts.js';
import { html } from './preact.js';
import { clock, duration, NB, number, percent } from './text.js';

/** @import { Act, ActionCall, ChangeBefore, EvidenceAtOnset, MemberAlert, Room as Told, Similar, SliceShare, TimelineEntry } from './api.js' */
/** @import { Seen } from './app.js' */
/** @import { Field } from './form.js' */
/** @import { Column, Part } from './parts.js' */
/** @typedef {{ text: string, waits?: boolean, failed?: boolean }} Outcome what came of it */

const SEVERITIES = ['critical', 'high', 'medium', 'low'];
const SHOWN = 14, MOST_SERVICES = 20;
const at = (/** @type {string} */ text) => Date.parse(text);
/** @type {Record<string, string>} */
const ICONS = {
  opened: 'failing', reopened: 'failing', resolved: 'ok', undelivered: 'degraded', delivered: 'bell', paged: 'bell', escalated: 'bell', triggered: 'bell',
  silenced: 'maint', published: 'globe', impact: 'bolt', action: 'bolt', severity: 'flag', alerted: 'bell',
};
/** @type {Record<string, [icon: string, word: string]>} */
const CHANGES = { 'deploy.released': ['deploy', 'Deploy'], 'flag.flipped': ['flag', 'Flag'], 'config.changed': ['config', 'Setting'], 'maintenance.started': ['maint', 'Maintenance began'], 'maintenance.ended': ['maint', 'Maintenance ended'] };
let shown = SHOWN, people = false;
/** @type {Outcome | null} */
let said = null;
/** @type {Told | null} */
let current = null;

// --- acting ------------------------------------------------------------------------------------------------------------

const once = () => globalThis.crypto?.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;

/**
 * @param {string} address
 * @param {unknown} what
 */
async function send(address, what) {
  said = { text: 'Asking the notifier …' };
  again();
  try {
    const answer = await ask(address, { send: what, once: once() });
    said = { text: answer.text, waits: answer.done === null };
  } catch (error) {
    said = { text: error.message, failed: true };
  }
  await again();
}

const tell = (/** @type {string} */ action, what = {}) => send(`/api/v1/incidents/${current?.incident.id}/${action}`, what);
/** @type {Field} */
const note = { name: 'text', label: 'What is to be said of it', kind: 'area' };

/** @type {Record<string, (told: Told) => Promise<unknown>>} */
const ASKED = {
  async assign({ people }) {
    const found = await question({ title: 'Hand over', fields: [{ name: 'text', label: 'To whom', options: people, required: true }], verb: 'Hand over' });
    return found && tell('assign', found);
  },
  async escalate() {
    const found = await question({ title: 'Escalate', text: 'You cannot solve it: the next level is asked at once.', fields: [note], verb: 'Escalate' });
    return found && tell('escalate', found);
  },
  async status({ incident }) {
    const found = await question({
      title: 'Status and severity', text: 'A severity that you set holds until an alert is worse than all were.', verb: 'Set it',
      fields: [
        { name: 'status', label: 'Status', kind: 'pick', options: [['', `as it is: ${incident.status}`], ['investigate', 'investigating: looking for the cause'], ['mitigate', 'mitigated: customers no longer feel it']] },
        { name: 'severity', label: 'Severity', kind: 'pick', options: SEVERITIES.map((one, level) => [one, `P${level} ${one}`]), value: incident.severity },
        note,
      ],
    });
    if (!found) return;
    if (found.severity !== incident.severity) await tell('severity', { text: found.severity });
    if (found.status) await tell(found.status, { text: found.text });
    else if (found.text.trim()) await tell('note', { text: found.text });
  },
  async resolve({ incident }) {
    const going = incident.active_alerts;
    const text = going ? `${going} ${going === 1 ? 'alert still fires' : 'alerts still fire'}: people are asked again if it goes on.` : 'Nothing of it fires any more.';
    const found = await question({ title: 'Resolve', text, fields: [{ ...note, label: 'What ended it' }], verb: 'Resolve' });
    return found && tell('resolve', found);
  },
  async reopen() {
    const found = await question({ title: 'Reopen', text: 'It stays open until somebody resolves it, and people are asked.', fields: [note], verb: 'Reopen' });
    return found && tell('reopen', found);
  },
  async review() {
    const found = await question({ title: 'Looked back at', fields: [note], verb: 'It is reviewed' });
    return found && tell('review', found);
  },
  async judge({ incident }) {
    /** @type {[string, string][]} */
    const rules = incident.rules.flatMap(rule => {
      const member = incident.members.find(one => one.rule === rule);
      return member ? [[`${member.pack}/${rule}`, rule]] : [];
    });
    const found = await question({
      title: 'Right or wrong', text: 'Accuracy and false alarms are counted from this.', verb: 'Say so',
      fields: [{ name: 'text', label: 'Somebody had to see to it', kind: 'pick', options: [['right', 'yes: it was right'], ['wrong', 'no: it was a false alarm']] }, { name: 'rule', label: 'Which', kind: 'pick', options: [['', 'all of its alerts'], ...rules] }],
    });
    return found && tell('judge', { text: found.text, rules: found.rule ? [found.rule] : [] });
  },
  async publish({ incident, services }) {
    const last = incident.updates[0];
    const found = await question({
      title: 'Post update', text: 'On the public status page, in the words of customers: what they can do, no names of providers.', verb: 'Publish',
      fields: [
        { name: 'title', label: 'Headline, while it is so', value: last?.title ?? '', most: 140 },
        { name: 'text', label: 'Update', kind: 'area', required: true },
        { name: 'felt', label: 'What customers feel', kind: 'pick', value: last?.felt ?? (incident.severity === 'critical' ? 'failing' : 'degraded'), options: [['failing', 'they cannot pay'], ['degraded', 'they get through, with trouble'], ['ok', 'nothing any more']] },
        ...(services.length ? [/** @type {Field} */ ({ name: 'services', label: 'Affected', kind: 'many', options: services.slice(0, MOST_SERVICES), value: last?.services ?? [] })] : []),
        { name: 'next', label: 'Next update', kind: 'pick', value: '15', options: [['', 'no promise'], ['15', 'within 15 min'], ['30', 'within 30 min'], ['60', 'within an hour']] },
      ],
    });
    if (!found) return null;
    const next_at = found.next ? new Date(Date.now() + Number(found.next) * 60_000).toISOString() : null;
    return tell('publish', { text: found.text, title: found.title, felt: found.felt, services: found.services ?? [], next_at });
  },
  async silence({ incident }) {
    const { rule = incident.rules[0], group = {} } = incident.evidence ?? {};
    const matchers = [`rule=${rule}`, ...Object.entries(group).filter(([, value]) => value != null).map(([name, value]) => `${name}=${value}`)];
    const found = await question({
      title: 'Silence', text: 'What matches all of these pages nobody. It is recorded, and its end is told.', verb: 'Silence',
      fields: [{ name: 'matchers', label: 'Matchers, with blanks between them', value: matchers.join(' '), required: true, most: 1000 }, { name: 'lasts', label: 'For', kind: 'pick', value: '3600', options: [['1800', '30 min'], ['3600', '1 h'], ['7200', '2 h'], ['28800', '8 h'], ['86400', '1 day']] }, { name: 'reason', label: 'Why', required: true }],
    });
    return found && send('/api/v1/silences', { matchers: found.matchers.trim().split(/\s+(?=[\w]+!?=)/), lasts_s: Number(found.lasts), reason: found.reason });
  },
};

const act = (/** @type {Act | undefined} */ one) => one && current?.may && (ASKED[one.do] ?? (() => tell(one.do)))(current);
const doing = (/** @type {string} */ name) => () => act(current?.acts.find(one => one.do === name));

// --- showing -----------------------------------------------------------------------------------------------------------

const clockOf = (/** @type {string} */ name, /** @type {Part} */ value) => html`<div>${name}<b>${value}</b></div>`;
const after = (/** @type {number | null} */ seconds) => seconds === null ? '–' : `+${Math.abs(seconds) < 10 ? `${number(seconds, 1)}${NB}s` : duration(seconds)}`;

/** @param {{ told: Told, age: number | null }} props */
function Clocks({ told, age }) {
  const { clocks, impact, lasted_s, resolved_at } = told.incident;
  const why = told.may ? null : 'This takes a responder.';
  return html`<div class="clocks">
    ${clockOf(resolved_at ? 'Lasted' : 'Open for', duration(lasted_s + (resolved_at ? 0 : age ?? 0)))}
    ${clockOf('First bad', clock(at(clocks.first_bad_at), true))}
    ${clockOf('Detected', after(clocks.detected_after_s))}
    ${clockOf('Paged', after(clocks.paged_after_s))}
    ${clockOf('Taken', after(clocks.acknowledged_after_s))}
    ${clockOf('Failed payments', impact ? number(impact.failed_payments) : '–')}
    <div class="acts" role="toolbar" aria-label="Incident actions">${told.acts.map(one => html`<button key=${one.do} class=${one.main ? 'btn main' : ['publish', 'assign', 'resolve', 'reopen', 'review'].includes(one.do) ? 'btn' : 'btn more'} disabled=${!told.may} title=${why} onClick=${() => act(one)}>${one.label}${one.key && html` <kbd>${one.key}</kbd>`}</button>`)}</div>
  </div>`;
}

/**
 * Messages that got through at once are one entry.
 * @param {TimelineEntry[]} timeline
 */
function entries(timeline) {
  /** @type {TimelineEntry[]} */
  const found = [];
  for (const one of timeline) {
    const last = found.at(-1);
    if (one.kind === 'delivered' && last?.kind === 'delivered' && last.at.slice(0, 19) === one.at.slice(0, 19)) last.text = `${last.text}; ${one.text}`;
    else found.push({ ...one });
  }
  return found;
}

/** @param {{ one: TimelineEntry, last: boolean }} props */
function Entry({ one, last }) {
  const icon = one.by_person && !['published', 'resolved'].includes(one.kind) ? 'person' : /\bby (phone|sms)\b/.test(one.text) ? 'phone' : ICONS[one.kind] ?? 'bell';
  const state = one.kind === 'undelivered' ? 'degraded' : one.kind === 'resolved' || one.kind === 'acknowledged' ? 'ok' : one.kind === 'opened' || one.kind === 'reopened' ? 'failing' : null;
  const words = one.kind === 'noted' ? html`<p><b>${one.author}</b></p><blockquote>${one.text}</blockquote>`
    : one.kind === 'published' ? html`<p><b>${one.author}</b> told customers</p><blockquote>${one.text}</blockquote>`
    : one.kind === 'opened' ? html`<p><b>Fires</b>: ${one.text}</p>` : html`<p>${one.text}</p>`;
  return html`<li data-s=${state} class=${last ? 'onset' : null}><time datetime=${one.at}>${clock(at(one.at), true).slice(-8)}</time><${Icon} name=${icon} /><div>${words}</div></li>`;
}

/** @param {{ told: Told }} props */
function Timeline({ told }) {
  const { timeline, timeline_more } = told.incident, all = entries(people ? timeline.filter(one => one.by_person) : timeline);
  const add = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const field = /** @type {HTMLInputElement} */ (document.getElementById('note')), text = field.value.trim();
    if (!text) return;
    field.value = '';
    await tell('note', { text });
    if (said?.failed) field.value = text;
  };
  const only = (/** @type {string} */ name, /** @type {boolean} */ which) => html`<button aria-pressed=${people === which} onClick=${() => { people = which; again(); }}>${name}</button>`;
  return html`<${Section} title="Timeline" unit="newest first" end=${html`<span class="seg">${only('All', false)}${only('People', true)}</span>`}>
    ${told.may && html`<form class="note-in" onSubmit=${add}><input id="note" name="text" aria-label="Add a note" placeholder="Add a note" maxlength="2000" autocomplete="off" /><button class="btn">Add <kbd>n</kbd></button></form>`}
    <ol class="tl">${all.slice(0, shown).map(one => html`<${Entry} key=${one.at + one.text} one=${one} last=${one.kind === 'opened'} />`)}</ol>
    ${all.length > shown && html`<button class="btn plain" onClick=${() => { shown = 1000; again(); }}>Show ${all.length - shown} earlier</button>`}
    ${timeline_more ? html`<p class="frozen">${timeline_more} more were counted and not kept; all are on the incidents topic.</p>` : null}
  <//>`;
}

/** @type {Record<string, (value: number) => string>} */
const UNITS = { ratio: value => percent(value, value < .1 ? 1 : 0), s: value => value < 1 ? `${number(value * 1000)}${NB}ms` : `${number(value, 1)}${NB}s`, count: value => number(value) };
const written = (/** @type {string} */ unit) => UNITS[unit] ?? (value => number(value, Number.isInteger(value) ? 0 : 2));

/** @param {{ evidence: EvidenceAtOnset | null }} props */
function Evidence({ evidence }) {
  if (!evidence) return html`<${Section} title="Evidence"><${Empty}>What it rested on was not kept.<//><//>`;
  const { chart, slip, window: judged, threshold, unit } = evidence, bad = at(evidence.first_bad_at ?? judged.start), fired = at(evidence.detected_at);
  const splits = chart ? counts(chart.limited && threshold || 0, chart.points, chart.usual ?? []) : [], most = splits.at(-1) ?? 0;
  const frozen = html`<p class="frozen">${slip.words}. ${evidence.samples.length ? `Events: ${evidence.samples.slice(0, 3).join(', ')}. ` : ''}${evidence.sources.length ? `Partitions ${[...new Set(evidence.sources.map(one => one.partition))].join(', ')}.` : ''}</p>`;
  return html`<${Columns}>
    ${chart ? html`<${TimeChart} title="Evidence, frozen at onset" unit=${`${chart.title}, ${duration(chart.step_s)} buckets; band = the half hour before`} wide=${7} height=${214} frozen sync="onset"
      ends=${at(chart.start) + chart.step_s * 1000} step=${chart.step_s * 1000} splits=${splits} told=${written(unit)} tick=${unit === 'ratio' && most >= .1 ? whole : written(unit)}
      lines=${[{ name: chart.title, values: chart.points, color: '--failing-mark' }]}
      band=${chart.usual ? { low: chart.points.map(() => chart.usual?.[0] ?? null), high: chart.points.map(() => chart.usual?.[1] ?? null) } : undefined}
      limit=${threshold == null || !chart.limited ? undefined : { at: threshold, label: `rule: ${written(unit)(threshold)}` }}
      marks=${[{ at: bad, kind: 'config', label: 'first bad event' }, { at: fired, kind: 'incident', label: `fires ${clock(fired, true).slice(-8)}` }]}>
        ${chart.final ? null : html`<p class="frozen">Still coming in: it is kept as it is a few minutes after the onset.</p>`}<//>`
      : html`<${Section} title="Evidence, frozen at onset" wide=${7}><${Empty}>No figures are left of that time.<//><//>`}
    <${Section} title="Why it fired" unit=${`judged ${clock(at(judged.start), true).slice(-8)} to ${clock(at(judged.end), true).slice(-8)}`} wide=${5}>
      <${Slip} rows=${slip.lines.map(one => [one.label, one.value])} sum=${slip.decision === slip.words ? null : [slip.decision, 'yes']} state="failing" />
      ${frozen}
    <//>
  <//>`;
}

const named = (/** @type {Record<string, unknown>} */ dimensions) => Object.entries(dimensions).map(([name, value]) => `${name}=${value ?? 'none'}`).join(' × ') || 'everything';
/** @type {Column<SliceShare>[]} */
const SLICES = [
  { name: 'Slice', cell: one => html`<b>${named(one.dimensions)}</b>` },
  { name: 'Wrong', right: true, cell: one => one.all && one.wrong !== null ? html`${percent(one.wrong / one.all, 0)}<span class="sub">${number(one.wrong)} of ${number(one.all)}</span>` : number(one.wrong) },
  { name: 'Share of it', cell: one => html`<span class="share"><${Meter} share=${one.share} state=${one.share >= .9 ? 'failing' : null} /><span class="r num">${percent(one.share, 0)}</span></span>` },
];
/** @type {Column<Similar>[]} */
const SIMILAR = [
  { name: 'When', cell: one => html`<b>${one.number}</b><span class="sub">${clock(at(one.opened_at))}</span>` },
  { name: 'What', cell: one => html`${one.title}<span class="sub">${one.why}</span>` },
  { name: 'Lasted', right: true, cell: one => one.lasted_s === null ? 'open' : duration(one.lasted_s) },
  { name: 'What ended it', cell: one => one.ended_by || '–' },
];
/** @type {Column<MemberAlert>[]} */
const ALERTS = [
  { name: 'Alert', cell: one => html`<code>${one.rule}</code><span class="sub">${named(one.group)}</span>` },
  { name: 'State', cell: one => html`<${Mark} state=${one.active ? one.severity === 'critical' ? 'failing' : 'degraded' : 'ok'} word=${one.active ? one.pages ? 'Fires' : 'Fires, pages nobody' : 'Over'} />` },
  { name: 'What', cell: one => html`${one.summary}${one.slice && html`<span class="sub">${one.slice}</span>`}` },
  { name: 'Judged', cell: one => one.judgement ?? '–' },
];

/** @type {Column<ActionCall>[]} */
const CALLS = [
  { name: 'Action', cell: one => html`<code>${one.name}</code><span class="sub">${one.trial ? 'dry run of a ' : ''}${one.means}</span>` },
  { name: 'State', cell: one => html`${one.state}${one.by && html`<span class="sub">by ${one.by}</span>`}` },
  { name: 'Why', cell: one => html`${one.why}${one.detail && html`<span class="sub">${one.detail}</span>`}` },
  { name: '', right: true, cell: one => one.state === 'waiting' && current?.may ? html`<button class="btn" onClick=${() => tell('approve', { text: one.key })}>Approve</button> <button class="btn" onClick=${() => tell('refuse', { text: one.key })}>Refuse</button>` : null },
];

/** @param {{ one: ChangeBefore }} props */
function Change({ one }) {
  const [icon, word] = CHANGES[one.kind] ?? ['config', one.kind], before = one.before_s;
  return html`<li><${Icon} name=${icon} /><div>${word} <b>${one.component}</b><small>${one.text}</small></div><span class="ago num">${duration(Math.abs(before))} ${before < 0 ? 'after' : 'before'}</span></li>`;
}

/** @param {Seen<Told>} seen */
function Room({ told, age, error }) {
  current = told;
  const { incident } = told, { evidence, changes, similar, runbook, members, updates, calls } = incident;
  return html`
    ${error && html`<p class="err"><${Mark} state="failing" word="Not loaded" /> ${error}</p>`}
    <${Clocks} told=${told} age=${age} />
    ${said && html`<p class="said" role=${said.failed ? 'alert' : 'status'} data-s=${said.failed ? 'failing' : said.waits ? 'behind' : 'ok'}>${said.text}</p>`}
    <div class="room">
      <div class="left"><${Timeline} told=${told} /></div>
      <div class="right">
        <${Evidence} evidence=${evidence} />
        <${Rule} />
        <${Columns}>
          <${Section} title="Guilty slice" unit=${evidence?.counted && evidence.slices.length ? `wrong: ${clock(at(evidence.counted.start), true).slice(-8)} to ${clock(at(evidence.counted.end), true).slice(-8)}` : 'most of it first'} wide=${6}><${Table} columns=${SLICES} rows=${evidence?.slices ?? []} empty="No part stands out: it is everywhere." label="Slices" /><//>
          <${Section} title="What changed before" unit="nearest first" wide=${6}>${changes.length ? html`<ul class="changes">${changes.map(one => html`<${Change} one=${one} />`)}</ul>` : html`<${Empty}>Nothing was released or configured in the half hour before.<//>`}<//>
        <//>
        <${Rule} />
        <${Section} title="Alerts" unit=${`${incident.active_alerts} of ${incident.alerts} fire`}><${Table} columns=${ALERTS} rows=${members} empty="None." label="Alerts of this incident" /><//>
        ${calls.length ? html`<${Rule} /><${Section} title="Automated actions" unit="latest first"><${Table} columns=${CALLS} rows=${calls} empty="None." label="Automated actions" /><//>` : null}
        ${updates.length ? html`<${Rule} /><${Section} title="What customers were told" unit="on the status page, latest first">${updates.map(one => html`<div class="upd"><time class="num"><${Time} ms=${at(one.at)} /></time><div>${one.title && html`<b>${one.title}</b> `}${one.text}</div></div>`)}<//>` : null}
        <${Rule} />
        <${Columns}>
          <${Section} title="Similar incidents" unit="same rule, slice or place" wide=${7}><${Table} columns=${SIMILAR} rows=${similar} open=${(/** @type {Similar} */ one) => `/incidents/${one.number}`} empty="None like it is known." label="Similar incidents" /><//>
          <${Section} title="Runbook" wide=${5} end=${runbook && html`<a href=${runbook.url ?? `/runbooks/${runbook.name}`}>${runbook.title}</a>`}>${runbook ? html`<${Book} book=${runbook} />` : html`<${Empty}>Its rule names none.<//>`}<//>
        <//>
      </div>
    </div>`;
}

const { again } = page(Room, { every_s: 5 });
on('incident', event => JSON.parse(event.data).id === current?.incident.id && again());
keys({
  a: ['take it', doing('ack')],
  h: ['hand it over', doing('assign')],
  s: ['silence its alerts', doing('silence')],
  p: ['post an update for customers', doing('publish')],
  r: ['resolve it', doing('resolve')],
  n: ['add a note', () => document.getElementById('note')?.focus()],
});
