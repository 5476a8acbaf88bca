// SQL over the rollup tables: an editor, the answer as a table and as a chart, statements with a name, files.
import { ask, page, request } from './app.js';
import { counts, tidy, TimeChart } from './charts.js';
import { confirm, Empty, Failed, Section } from './parts.js';
import { html, useEffect, useRef, useState } from './preact.js';
import { clock, duration, number } from './text.js';
import { look, onView, view } from './view.js';

/** @import { AnalystPage, Column, SavedQuery, SqlTable, Table } from './api.js' */
/** @import { Seen } from './app.js' */
/** @import { Line } from './charts.js' */
/** @typedef {any[]} Row what SQL may give of any type */
/** @typedef {{ target: HTMLInputElement | HTMLTextAreaElement }} Typed */

const FIRST = `-- payments and their latency by minute and provider, in the last hour
select bucket, provider,
       sum(count) as payments,
       max(latency_ms_p95) / 1000 as worst_p95_s
from   payments_1m
where  bucket >= now() - interval 1 hour
group  by all
order  by all`;
const SHOWN = 100, LINES = 5, POINTS = 2000;
const PARTS = /(--.*$)|('(?:[^']|'')*')|\b(\d+(?:\.\d+)?)\b|\b(select|from|where|group|order|by|as|and|or|not|in|filter|all|desc|asc|limit|with|having|join|on|using|left|case|when|then|else|end|interval|between|is|null|distinct|union)\b/gim;

/**
 * The statement with its words in colour.
 * @param {string} sql
 */
function painted(sql) {
  const found = [];
  let at = 0;
  for (const hit of sql.matchAll(PARTS)) {
    found.push(sql.slice(at, hit.index), html`<span class=${hit[1] ? 'c' : hit[2] ? 's' : hit[3] ? 'n' : 'k'}>${hit[0]}</span>`);
    at = hit.index + hit[0].length;
  }
  return [...found, sql.slice(at), '\n'];
}

/** @param {{ sql: string, onInput: (sql: string) => void, onRun: () => void }} props */
function Editor({ sql, onInput, onRun }) {
  const key = (/** @type {KeyboardEvent & { target: HTMLElement }} */ event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) { event.preventDefault(); onRun(); }
    if (event.key === 'Escape') event.target.blur();
  };
  return html`<div class="ed">
    <ol aria-hidden="true">${sql.split('\n').map((_, at) => html`<li>${at + 1}</li>`)}</ol>
    <div class="paper"><pre aria-hidden="true">${painted(sql)}</pre>
      <textarea id="sql" aria-label="SQL" aria-describedby="sql-help" spellcheck="false" autocapitalize="off" autocomplete="off" wrap="off" value=${sql} onInput=${(/** @type {Typed} */ event) => onInput(event.target.value)} onKeyDown=${key}></textarea></div>
  </div>`;
}

const isTime = (/** @type {Column} */ column) => column.type.startsWith('TIMESTAMP') || column.type === 'DATE';
const isNumber = (/** @type {Column} */ column) => /INT|DOUBLE|FLOAT|DECIMAL/.test(column.type);

/**
 * Lines over time of an answer that has a time and numbers; null where it has not.
 * @param {Table} answer
 */
function charted({ columns, rows }) {
  const time = columns.findIndex(isTime), values = columns.map((_, at) => at).filter(at => isNumber(columns[at])), text = columns.findIndex(one => one.type === 'VARCHAR');
  if (time < 0 || !values.length || rows.length < 2) return null;
  const stamps = [...new Set(rows.map(row => Date.parse(String(row[time]))))].filter(Number.isFinite).sort((a, b) => a - b);
  const step = Math.min(...stamps.slice(1).map((at, nth) => at - stamps[nth]));
  const points = Math.round((stamps[stamps.length - 1] - stamps[0]) / step) + 1;
  if (!Number.isFinite(step) || points > POINTS || points < 2) return null;
  const place = (/** @type {Row} */ row) => Math.round((Date.parse(row[time]) - stamps[0]) / step);
  /** @type {Map<string, (number | null)[]>} */
  const found = new Map();
  for (const row of rows) for (const at of text < 0 ? values : values.slice(0, 1)) {
    const name = text < 0 ? columns[at].name : String(row[text] ?? 'none');
    const line = found.get(name) ?? Array(points).fill(null), where = place(row);
    found.set(name, line);
    if (row[at] != null && where >= 0) line[where] = (line[where] ?? 0) + Number(row[at]);
  }
  const lines = [...found].map(([name, all]) => ({ name, values: all })).sort((a, b) => total(b) - total(a));
  return { ends: stamps[0] + step, step, lines: lines.slice(0, LINES), left: lines.length - LINES, of: text < 0 ? null : columns[values[0]].name };
}
const total = (/** @type {Line} */ line) => line.values.reduce((/** @type {number} */ sum, value) => sum + (value ?? 0), 0);

/**
 * @param {unknown} value
 * @param {Column} column
 */
function shown(value, column) {
  if (value == null) return html`<span class="muted">–</span>`;
  if (isTime(column)) return clock(Date.parse(String(value)), true);
  if (isNumber(column)) return typeof value !== 'number' ? String(value) : number(value, Number.isInteger(value) ? 0 : Math.abs(value) < 10 ? 3 : 2);
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** @param {{ answer: Table, as: string }} props */
function Answer({ answer, as }) {
  const [first, setFirst] = useState(0);
  useEffect(() => setFirst(0), [answer]);
  const { columns, rows } = answer, chart = as === 'table' ? null : charted(answer);
  if (!rows.length) return html`<${Empty}>The statement found no row.<//>`;
  const right = columns.map(one => isNumber(one) ? 'r' : null);
  return html`
    ${chart && html`<${TimeChart} title=${chart.of ?? 'Over time'} unit=${chart.left > 0 ? `the ${LINES} largest of ${chart.left + LINES}` : `by ${duration(chart.step / 1000)}`} sync="analyst" frozen
      ends=${chart.ends} step=${chart.step} lines=${chart.lines} splits=${counts(1e-9, ...chart.lines.map(one => one.values))} told=${(/** @type {number} */ value) => number(value, Math.abs(value) < 10 ? 2 : 0)} tick=${tidy} />`}
    <div class="scroll" tabindex="0" role="group" aria-label="The answer's rows"><table class="tb"><thead><tr>${columns.map((one, at) => html`<th scope="col" class=${right[at]}>${one.name}</th>`)}</tr></thead>
      <tbody>${rows.slice(first, first + SHOWN).map(row => html`<tr>${row.map((value, at) => html`<td class=${right[at]}>${shown(value, columns[at])}</td>`)}</tr>`)}</tbody></table></div>
    <div class="runbar muted"><span>Rows ${number(first + 1)} to ${number(Math.min(first + SHOWN, rows.length))} of ${number(rows.length)}</span><span class="gap"></span>
      <button class="btn plain" disabled=${first === 0} onClick=${() => setFirst(first - SHOWN)}>Previous</button><button class="btn plain" disabled=${first + SHOWN >= rows.length} onClick=${() => setFirst(first + SHOWN)}>Next</button></div>`;
}

/**
 * Asks for a file, and hands it to the browser.
 * @param {string} sql
 * @param {string} form
 */
async function download(sql, form) {
  const answer = await request(`/api/v1/sql?format=${form}`, { send: { sql } });
  const link = document.createElement('a'), address = URL.createObjectURL(await answer.blob());
  link.href = address;
  link.download = `tillwatch.${form}`;
  link.click();
  URL.revokeObjectURL(address);
}

/** @type {{ running: AbortController | null }} */
const state = { running: null };

/** @param {Seen<AnalystPage>} seen */
function Analyst({ told }) {
  const [sql, setSql] = useState(view().get('sql') ?? FIRST), [name, setName] = useState(''), [saved, setSaved] = useState(told.saved);
  const [answer, setAnswer] = useState(/** @type {Table | null} */ (null)), [error, setError] = useState(/** @type {string | null} */ (null)), [took, setTook] = useState(0), [running, setRunning] = useState(false);
  const [as, setAs] = useState(view().get('show') ?? 'chart');
  const latest = useRef(sql);
  latest.current = sql;

  async function run() {
    state.running?.abort();
    const mine = state.running = new AbortController(), begun = performance.now();
    look({ sql: latest.current }, { replace: true });
    setRunning(true);
    setError(null);
    try {
      setAnswer(await ask('/api/v1/sql', { send: { sql: latest.current }, signal: mine.signal }));
      setTook(performance.now() - begun);
    } catch (problem) {
      if (mine !== state.running) return;
      setError(problem.name === 'AbortError' ? 'Stopped.' : problem.message);
    } finally {
      if (mine === state.running) { setRunning(false); state.running = null; }
    }
  }
  const tried = async (/** @type {() => Promise<void>} */ work) => { try { setError(null); await work(); } catch (problem) { setError(problem.message); } };
  const again = async () => setSaved(await ask('/api/v1/sql/saved'));
  const keep = () => tried(async () => { await ask('/api/v1/sql/saved', { send: { name, sql } }); await again(); });
  const forget = (/** @type {SavedQuery} */ one) => tried(async () => { if (await confirm(`Delete the saved statement “${one.name}”?`, 'Delete it')) { await ask(`/api/v1/sql/saved/${encodeURIComponent(one.name)}`, { method: 'DELETE' }); await again(); } });

  useEffect(() => { if (view().get('sql')) run(); onView(() => { const next = view().get('sql'); if (next && next !== latest.current) setSql(next); }); }, []);

  /** @type {Record<string, SqlTable[]>} */
  const tables = {};
  for (const one of told.tables) (tables[one.name.replace(/_(10s|1m|1h)$/, '')] ??= []).push(one);
  return html`<div class="lab"><aside aria-label="What there is to ask">
      <h2>Saved</h2>
      ${saved.length ? html`<ul class="tree">${saved.map(one => html`<li><button class="link" title=${`saved by ${one.by}`} onClick=${() => { setSql(one.sql); setName(one.name); }}>${one.name}</button><button class="link" aria-label=${`Delete ${one.name}`} onClick=${() => forget(one)}>×</button></li>`)}</ul>` : html`<p class="say">Statements with a name show here.</p>`}
      <h2>Tables</h2>
      <div class="tree">${Object.entries(tables).map(([subject, all]) => html`<details><summary>${subject}</summary>
        <p class="say">${all.map(one => html`<code>${one.name}</code> ${duration(one.kept_s)} `)}</p>
        <ul>${all[0].columns.map(one => html`<li>${one.name}<span>${one.type.toLowerCase().replace('timestamptz', 'time')}</span></li>`)}</ul></details>`)}</div>
    </aside>
    <div>
      <${Section} title="Statement" unit="DuckDB's SQL, one SELECT; a minute and 10,000 rows at most" end=${html`<input class="line-in" aria-label="Name to save it under" placeholder="a name" maxlength="80" value=${name} onInput=${(/** @type {Typed} */ event) => setName(event.target.value)} /> <button class="btn plain" disabled=${!name.trim()} onClick=${keep}>Save</button>`}>
        <${Editor} sql=${sql} onInput=${setSql} onRun=${run} />
        <div class="runbar">${running ? html`<button class="btn main" onClick=${() => state.running?.abort()}>Stop</button>` : html`<button class="btn main" onClick=${run}>Run <kbd>Ctrl ↵</kbd></button>`}
          <span role="status" id="sql-help">${running ? 'Asking…' : answer ? html`<b>${number(answer.rows.length)} rows</b> in ${number(took)} ms: the numbers the rules judge, open buckets included.` : 'Nothing was asked yet.'}</span><span class="gap"></span>
          ${['csv', 'parquet', 'arrow'].map(form => html`<button class="btn plain" onClick=${() => tried(() => download(sql, form))}>${form === 'csv' ? 'CSV' : form === 'parquet' ? 'Parquet' : 'Arrow'}</button>`)}</div>
        ${error && html`<${Failed} why=${error} />`}
      <//>
      ${answer && html`<${Section} title="Answer" end=${html`<span class="seg">${['chart', 'table'].map(one => html`<button aria-pressed=${String(as === one)} onClick=${() => { setAs(one); look({ show: one }, { replace: true }); }}>${one === 'chart' ? 'Chart and table' : 'Table only'}</button>`)}</span>`}><${Answer} answer=${answer} as=${as} /><//>`}
    </div></div>`;
}

page(Analyst, { every_s: 60 });
