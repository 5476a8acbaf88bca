// Small charts in SVG: sparklines, bars. Missing values are gaps.
import { html } from './preact.js';

/** @typedef {(number | null)[]} Values by time; null where nothing is known */
/** @typedef {[number, number]} Point */

/**
 * The line through these points as path data; null ends a piece.
 * @param {(Point | null)[]} points
 */
function path(points) {
  let down = false;
  return points.map(point => {
    if (point === null) { down = false; return ''; }
    const piece = `${down ? 'L' : 'M'}${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
    down = true;
    return piece;
  }).join('');
}

/**
 * @param {Values} values
 * @returns {number[]}
 */
const known = values => values.filter(value => value !== null);

/**
 * A line without an axis, and before it the same time a week ago, dashed. low, high: a scale that is shared, where there is one;
 * otherwise it is wide enough that noise does not look like news.
 * @param {Values} values
 * @param {Values | null} [before]
 * @param {{ low?: number, high?: number, height?: number }} [scale]
 */
export function spark(values, before = null, { low, high, height = 34 } = {}) {
  const all = known([...values, ...(before ?? [])]);
  if (known(values).length < 2) return null;
  const least = low ?? Math.min(...all), most = high ?? Math.max(...all), middle = (least + most) / 2;
  const span = low === undefined ? Math.max(most - least, Math.abs(most) * .15, 1e-9) : Math.max(most - least, 1e-9);
  /** @param {Values} points */
  const line = points => path(points.map((value, at) => value === null ? null
    : [100 * at / Math.max(1, points.length - 1), height / 2 - (height - 4) * (Math.min(most, Math.max(least, value)) - middle) / span]));
  return html`<svg viewBox=${`0 0 100 ${height}`} preserveAspectRatio="none" aria-hidden="true">
    ${before && html`<path class="line before" d=${line(before)} />`}<path class="line" d=${line(values)} />
  </svg>`;
}

/**
 * Bars for counts; over `limit` in the colour of the state.
 * @param {Values} values
 * @param {{ limit?: number | null, most?: number }} [scale]
 */
export function bars(values, { limit = null, most } = {}) {
  const high = most ?? Math.max(limit ?? 1, ...known(values), 1), width = 100 / Math.max(1, values.length);
  return html`<svg viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true"><path class="base" d="M0 23.5H100" />
    ${values.map((value, at) => value ? html`<rect class=${limit !== null && value > limit ? 'over' : 'bar'} x=${(at * width + width * .1).toFixed(2)} width=${(width * .8).toFixed(2)} y=${(24 - Math.max(1.5, value / high * 23)).toFixed(1)} height=${Math.max(1.5, value / high * 23).toFixed(1)} />` : null)}
    ${limit !== null && limit <= high && html`<path class="limit" d=${`M0 ${(24 - limit / high * 23).toFixed(1)}H100`} />`}
  </svg>`;
}

/**
 * One of several small charts on a shared scale: a line of shares with what is usual, and the deficit below it. low, high: the
 * ends of the scale; band: what is usual, a value each.
 * @param {Values} values
 * @param {{ low: Values, high: Values } | null} band
 * @param {number} low
 * @param {number} high
 */
export function multiple(values, band, low, high, height = 84) {
  const x = (/** @type {number} */ at) => 100 * at / Math.max(1, values.length - 1), y = (/** @type {number} */ value) => height - 2 - (height - 4) * (Math.min(high, Math.max(low, value)) - low) / (high - low || 1);
  /**
   * @param {Values} upper
   * @param {Values} lower
   */
  const area = (upper, lower) => {
    const both = upper.flatMap((top, at) => { const foot = lower[at]; return top === null || foot === null ? [] : [{ at: x(at), top: y(top), foot: y(foot) }]; });
    return both.length < 2 ? '' : `${path(both.map(one => [one.at, one.top]))}${path(both.reverse().map(one => [one.at, one.foot])).replace('M', 'L')}Z`;
  };
  const least = (/** @type {Values} */ line) => values.map((value, at) => { const usual = line[at]; return value === null || usual === null ? null : Math.min(value, usual); });
  return html`<svg viewBox=${`0 0 100 ${height}`} preserveAspectRatio="none" aria-hidden="true">
    <path class="base" d=${`M0 1H100M0 ${height - 1}H100`} />
    ${band && html`<path class="usual" d=${area(band.high, band.low)} /><path class="deficit" d=${area(band.low, least(band.low))} />`}
    <path class="line" d=${path(values.map((value, at) => value === null ? null : [x(at), y(value)]))} />
  </svg>`;
}
