// The parts that pages are made of. What data say is text, never markup.
import { html } from './preact.js';
import { spark } from './small.js';
import { clock, duration, WORDS } from './text.js';

/** @import { Station, Tile as TileTold } from './api.js' */
/** @import { Shown } from './preact.js' */
/** @typedef {TileTold['state']} State how a thing is: its shape, its colour and its word */
/** @typedef {Shown | Shown[] | string | number | false | null | undefined} Part what can stand in a page */
/**
 * A column of a table. right: set to the right; hide: left out where it is narrow.
 * @template R
 * @typedef {{ name: string, cell: (row: R) => Part, right?: boolean, hide?: boolean }} Column
 */

/** @param {{ name: string }} props */
export const Icon = ({ name }) => html`<svg class="i" aria-hidden="true"><use href=${`/static/icons.svg#${name}`} /></svg>`;

/**
 * A state by its shape, a word and a colour.
 * @param {{ state: State, word?: string }} props
 */
export const Mark = ({ state, word }) => html`<span class="st" data-s=${state}><${Icon} name=${state} />${word ?? WORDS[state]}</span>`;

/** @param {{ ms: number, seconds?: boolean }} props */
export const Time = ({ ms, seconds }) => html`<time datetime=${new Date(ms).toISOString()}>${clock(ms, seconds)}</time>`;

/**
 * A sentence of texts and times.
 * @param {{ parts: (string | number)[] }} props
 */
export const Words = ({ parts }) => parts.map(part => typeof part === 'number' ? html`<${Time} ms=${part} />` : part);

/** Seconds from which on data are old. What stops working is told within 15 s: the last data were up to 3 s old when it did. */
export const OLD_S = 10;

/**
 * A figure with its trend and what it is compared with. `age`: how old it is, in seconds.
 * @param {{ one: TileTold, age: number | null }} props
 */
export function Tile({ one, age }) {
  const old = age !== null && (age > OLD_S || one.state === 'stale') ? duration(age) : null, state = old ? 'stale' : one.state;
  const figure = old && /^0(\.0+)?$/.test(one.figure) ? '–' : one.figure;  // a zero that is not known to be one now is none
  const word = old ? html`<${Mark} state="stale" word=${`${old} old`} />`
    : state === 'ok' ? age !== null && html`<span class="muted">${duration(age)} old</span>` : html`<${Mark} state=${state} />`;
  return html`<div class="tile" data-s=${state}>
    <dt>${one.name}${word}</dt>
    <dd class="fig num">${figure}${one.unit && figure !== '–' ? html`<small>${one.unit}</small>` : null}</dd>
    <dd class="spark">${spark(one.trend, one.before)}</dd>
    <dd class="cmp num">${one.note}</dd>
  </div>`;
}

/** @param {{ tiles: TileTold[], age: number | null }} props */
export const Tiles = ({ tiles, age }) => html`<dl class=${`tiles n${tiles.length}`}>${tiles.map(one => html`<${Tile} key=${one.name} one=${one} age=${age} />`)}</dl>`;

/**
 * A part of a page. `end`: what stands at the right of its heading; `wide`: of twelve columns.
 * @param {{ title: string, unit?: Part, end?: Part, wide?: number, children?: Part }} props
 */
export const Section = ({ title, unit, end, wide = 12, children }) => html`<section class=${`sec c${wide}`} aria-label=${title}>
  <header><h2>${title}</h2>${unit && html`<span class="unit">${unit}</span>`}${end && html`<span class="end">${end}</span>`}</header>
  ${children}
</section>`;

/** @param {{ children?: Part }} props */
export const Columns = ({ children }) => html`<div class="cols">${children}</div>`;
export const Rule = () => html`<hr class="rule" />`;
/** @param {{ children?: Part }} props */
export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;

/**
 * What part of a page could not be loaded, and a way to try again.
 * @param {{ why: string, again?: () => void }} props
 */
export const Failed = ({ why, again }) => html`<p class="err"><${Mark} state="failing" word="Not loaded" /> ${why} ${again && html`<button class="btn" onClick=${again}>Try again</button>`}</p>`;

/**
 * A table. open: what a row leads to, as an address or a function; state: the state of a row.
 * @template {{ key?: string | number }} R
 * @param {{ columns: Column<R>[], rows: R[], empty: string, open?: (row: R) => string | (() => void) | void,
 *   state?: (row: R) => State | null, label?: string }} props
 */
export function Table({ columns, rows, empty, open, state, label }) {
  if (!rows.length) return html`<${Empty}>${empty}<//>`;
  /** @param {Column<R>} one */
  const css = one => [one.right && 'r', one.hide && 'hide-s'].filter(Boolean).join(' ') || null;
  /**
   * @param {R} row
   * @param {MouseEvent | KeyboardEvent} event
   */
  const follow = (row, event) => {
    if (/** @type {Element} */ (event.target).closest('a, button') || ('key' in event && event.key !== 'Enter')) return;
    const to = open?.(row);
    if (typeof to === 'string') location.href = to; else to?.();
  };
  /** @param {R} row */
  const opens = row => {
    const then = (/** @type {MouseEvent | KeyboardEvent} */ event) => follow(row, event);
    return open ? { tabIndex: 0, 'data-row': '', onClick: then, onKeyDown: then } : {};
  };
  return html`<div class="scroll" tabindex="0" role="group" aria-label=${label ?? 'A table, which scrolls sideways where it is narrow'}><table class="tb">
    <thead><tr>${columns.map(one => html`<th scope="col" class=${css(one)}>${one.name}</th>`)}</tr></thead>
    <tbody>${rows.map((row, at) => html`<tr key=${row.key ?? at} data-s=${state?.(row)} ...${opens(row)}>${columns.map(one => html`<td class=${css(one)}>${one.cell(row)}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

/**
 * The arithmetic that led to a decision. rows: labels and values; sum: the last line, with its state.
 * @param {{ rows: [Part, Part][], sum?: [Part, Part] | null, state?: State }} props
 */
export const Slip = ({ rows, sum, state }) => html`<dl class="slip">
  ${rows.map(([label, value]) => html`<div><dt>${label}</dt><dd>${value}</dd></div>`)}
  ${sum && html`<div class="sum" data-s=${state}><dt>${sum[0]}</dt><dd>${sum[1]}</dd></div>`}
</dl>`;

/**
 * A bar of a share of 1, with ticks at limits.
 * @param {{ share: number, ticks?: number[], state?: State | null }} props
 */
export const Meter = ({ share, ticks = [], state }) => html`<span class="meter" data-s=${state} ref=${node => {
  node?.style.setProperty('--v', String(Math.min(100, Math.max(0, share * 100))));
}}><i></i>${ticks.map(tick => html`<u ref=${node => node?.style.setProperty('--at', String(tick * 100))}></u>`)}</span>`;

/**
 * The strip of stations that the numbers came through.
 * @param {{ stations: Station[] }} props
 */
export const Pipe = ({ stations }) => html`<ol class=${`pipe n${stations.length}`}>${stations.map(one => html`<li key=${one.name} data-s=${one.state}>
  <${Icon} name=${one.state} /><b>${one.name} <span class="w">${WORDS[one.state]}</span></b>${one.lines.map(line => html`<div>${line}</div>`)}
</li>`)}</ol>`;

/**
 * A question before something is done that is not easily undone.
 * @param {string} question
 * @param {string} verb
 * @returns {Promise<boolean>}
 */
export function confirm(question, verb) {
  return new Promise(resolve => {
    const box = /** @type {HTMLDialogElement} */ (document.getElementById('question'));
    box.querySelector('p')?.replaceChildren(question);
    box.querySelector('[value=yes]')?.replaceChildren(verb);
    box.onclose = () => resolve(box.returnValue === 'yes');
    box.returnValue = '';
    box.showModal();
  });
}
