// Charts over time, on uPlot. A value stands at the end of its bucket; missing values are gaps; colours come from the tokens.
import { Component, html } from './preact.js';
import { clock, duration, NB, number } from './text.js';
import uPlot from './uplot.js';
import { span } from './view.js';

/** @import { Values } from './small.js' */
/** @import { Part } from './parts.js' */
/** @typedef {{ name: string, values: Values, color?: string, width?: number, dash?: number[] }} Line the first is in ink unless said */
/** @typedef {{ at: number, kind: 'deploy' | 'incident' | 'config', label: string }} Mark */
/** @typedef {{ from: number, to: number, label?: string }} Quiet where nothing is known */
/**
 * @typedef {object} Chart
 * @property {string} title
 * @property {Part} [unit]
 * @property {number} ends when the first bucket ends
 * @property {number} step how long each lasts (ms)
 * @property {Line[]} lines
 * @property {number[]} splits the ticks of the axis, the first and last of which are its ends
 * @property {{ low: Values, high: Values } | null} [band] what is usual
 * @property {boolean} [deficit] whether the area below it is filled
 * @property {(value: number) => string} [told] a value as it is written
 * @property {(value: number) => string} [tick] and so at the axis
 * @property {{ at: number, label: string }} [limit]
 * @property {Mark[]} [marks]
 * @property {Quiet[]} [quiet]
 * @property {boolean} [frozen] whether nothing can be brushed
 * @property {string} [sync] charts whose cursors move together: those of a page unless said
 * @property {number} [height]
 * @property {number} [wide] of twelve columns
 * @property {Part} [children]
 */

/** @param {string} name */
const token = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
/**
 * @param {Values} values
 * @returns {number[]}
 */
const known = values => values.filter(value => value != null);

/**
 * Where an axis of shares (0 to 1) begins, and its steps: one of a few, so that noise does not become mountains.
 * @param {Values[]} series
 */
export function shares(...series) {
  const least = Math.min(1, ...known(series.flat()));
  const [floor, steps] = [[.9, 5], [.8, 4], [.5, 5], [0, 4]].find(([from]) => from <= least - .01) ?? [0, 4];
  return Array.from({ length: steps + 1 }, (_, step) => floor + (1 - floor) * step / steps);
}

/**
 * An axis from 0 to a round number above everything, in four or five steps.
 * @param {number} least
 * @param {Values[]} series
 */
export function counts(least, ...series) {
  const most = Math.max(least, ...known(series.flat())), power = 10 ** Math.floor(Math.log10(most / 4));
  const step = [1, 2, 2.5, 5].map(one => one * power).find(one => one * 5 >= most) ?? 10 * power;
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, at) => at * step);
}

/**
 * One or more lines over time. The cursor moves in all charts of a page; what is brushed becomes the time of the page.
 * @extends {Component<Chart, { at: number | null, twin: boolean }>}
 */
export class TimeChart extends Component {
  /** @param {Chart} props */
  constructor(props) {
    super(props);
    this.state = { at: null, twin: false };
    this.remake = () => { this.unmake(); this.make(); };
    /** @type {uPlot | null} */
    this.plot = null;
    /** @type {HTMLElement | null} */
    this.box = null;
    /** @type {(Mark & { row: number, flip: boolean })[]} */
    this.placed = [];
    this.laneHeight = 0;
    this.sized = new ResizeObserver(() => {
      if (!this.plot) this.make();
      else if (this.box?.clientWidth !== this.plot.width) this.remake();
    });
  }

  componentDidMount() {
    this.make();
    if (this.box) this.sized.observe(this.box);
    addEventListener('tillwatch:theme', this.remake);
  }

  componentWillUnmount() {
    this.sized.disconnect();
    removeEventListener('tillwatch:theme', this.remake);
    this.unmake();
  }

  /** @param {Readonly<Chart>} before */
  componentDidUpdate(before) {
    if (!this.plot) return;
    const frame = (/** @type {Chart} */ { lines, splits, marks }) => JSON.stringify([lines.length, splits, marks]);
    const drawn = (/** @type {Chart} */ { lines, ends, step, band, limit, quiet }) => JSON.stringify([lines.map(one => one.values), ends, step, band, limit, quiet]);
    if (frame(this.props) !== frame(before)) this.remake();
    else if (drawn(this.props) !== drawn(before)) this.plot.setData(this.data());
  }

  times() { const { ends, step, lines } = this.props; return lines[0].values.map((_, at) => (ends + at * step) / 1000); }
  /** @returns {Values[]} */
  data() { return [this.times(), ...this.props.lines.map(one => one.values)]; }
  /**
   * Both ends of the axis.
   * @returns {[number, number]}
   */
  reached() { const { splits } = this.props; return [splits[0], splits[splits.length - 1]]; }
  unmake() { this.plot?.destroy(); this.plot = null; }
  /** @param {number | null | undefined} value */
  told(value) { return value == null ? 'no data' : (this.props.told ?? String)(value); }
  /**
   * @param {Line} one
   * @param {number} at
   */
  color(one, at) { return one.color ?? (at === 0 ? '--ink' : `--s${at}`); }

  make() {
    const { lines, step, height = 216, sync = 'page' } = this.props, width = this.box?.clientWidth;
    if (!this.box || !width || this.plot || !lines[0]?.values.length) return;
    const font = `11.5px ${token('--sans')}`, narrow = width < 460, pen = { stroke: token('--ink-3'), font };
    this.plot = new uPlot({
      width, height, legend: { show: false }, padding: [this.lane(width), 10, 0, 0],
      cursor: { y: false, drag: { x: true, y: false, setScale: false }, points: { size: 7 }, sync: { key: sync } },
      select: { show: true },
      scales: { x: { time: true }, y: { range: () => this.reached() } },
      axes: [
        { ...pen, grid: { show: false }, ticks: { stroke: token('--line-2'), width: 1, size: 4 }, gap: 4, size: 26, space: narrow ? 64 : 90, values: (_, all) => all.map(at => this.tick(at * 1000)) },
        { ...pen, grid: { stroke: token('--grid'), width: 1 }, ticks: { show: false }, gap: 6, size: 48, splits: () => this.props.splits, values: (_, all) => all.map(this.props.tick ?? (value => this.told(value))) },
      ],
      series: [{}, ...lines.map((one, at) => ({ stroke: token(this.color(one, at)), width: one.width ?? 1.75, dash: one.dash, points: { show: false }, spanGaps: false }))],
      hooks: {
        drawAxes: [plot => this.under(plot)],
        draw: [plot => this.over(plot)],
        setCursor: [plot => { const at = plot.cursor.left < 0 ? null : plot.cursor.idx; if (at !== this.state.at) this.setState({ at }); }],
        setSelect: [plot => {
          if (plot.select.width < 8) return;
          const from = plot.posToVal(plot.select.left, 'x') * 1000, to = plot.posToVal(plot.select.left + plot.select.width, 'x') * 1000;
          plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
          if (to - from >= step && !this.props.frozen) span(Math.floor(from / step) * step, Math.ceil(to / step) * step);
        }],
      },
    }, this.data(), this.box);
  }

  /** @param {number} ms */
  tick(ms) {
    const { step, lines } = this.props;
    if (step * lines[0].values.length > 2 * 86_400_000) return new Date(ms).toLocaleDateString('en-GB', { day: 'numeric', month: 'short' });
    return clock(ms, step < 30_000).slice(step < 30_000 ? -8 : -5);
  }

  /**
   * The height of the lane above the plot: marks take the first row where their labels do not touch.
   * @param {number} width
   */
  lane(width) {
    const { marks = [] } = this.props, [from, to] = this.reach();
    /** @type {[number, number][][]} */
    const rows = [];
    const pen = /** @type {CanvasRenderingContext2D} */ (document.createElement('canvas').getContext('2d'));
    pen.font = `600 11.5px ${token('--sans')}`;
    this.placed = marks.filter(one => one.at >= from && one.at <= to).sort((a, b) => a.at - b.at).map(one => {
      const x = 48 + (width - 58) * (one.at - from) / Math.max(1, to - from), wide = pen.measureText(one.label).width + 14, flip = x + wide > width;
      const [a, b] = flip ? [x - wide, x + 6] : [x - 6, x + wide];
      let row = 0;
      while (rows[row]?.some(([c, d]) => a < d + 6 && b > c - 6)) row++;
      (rows[row] ??= []).push([a, b]);
      return { ...one, row, flip };
    });
    this.laneHeight = rows.length ? rows.length * 16 + 6 : 8;
    return this.laneHeight;
  }

  reach() { const times = this.times(); return [times[0] * 1000, times[times.length - 1] * 1000]; }

  /** @param {uPlot} plot */
  under(plot) {
    const { band, deficit, lines, quiet = [] } = this.props, { ctx, bbox } = plot, times = this.times();
    const x = (/** @type {number} */ at) => plot.valToPos(at, 'x', true), y = (/** @type {number | null} */ value) => plot.valToPos(value ?? 0, 'y', true);
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    /**
     * @param {Values} upper
     * @param {Values} lower
     * @param {number} from
     * @param {number} to
     */
    const area = (upper, lower, from, to) => {
      const shape = new Path2D();
      for (let at = from; at <= to; at++) shape[at === from ? 'moveTo' : 'lineTo'](x(times[at]), y(upper[at]));
      for (let at = to; at >= from; at--) shape.lineTo(x(times[at]), y(lower[at]));
      shape.closePath();
      return shape;
    };
    if (band) {
      for (const [from, to] of runs(times, at => band.low[at] != null && band.high[at] != null)) {
        ctx.fillStyle = token('--band');
        ctx.fill(area(band.high, band.low, from, to));
      }
      const values = lines[0].values;
      const below = (/** @type {number} */ at) => { const value = values[at], low = band.low[at]; return value != null && low != null && value < low; };
      if (deficit) for (const [from, to] of runs(times, below)) {
        const a = Math.max(0, from - (band.low[from - 1] == null ? 0 : 1)), b = Math.min(times.length - 1, to + (band.low[to + 1] == null ? 0 : 1));
        ctx.fillStyle = token('--deficit');
        ctx.fill(area(band.low, band.low.map((low, at) => { const value = values[at]; return low == null || value == null ? low : Math.min(low, value); }), a, b));
      }
    }
    ctx.strokeStyle = token('--line-2');
    ctx.lineWidth = devicePixelRatio;
    for (const one of quiet) {
      const from = x(one.from / 1000), to = x(one.to / 1000), gap = 7 * devicePixelRatio;
      ctx.save();
      ctx.beginPath();
      ctx.rect(from, bbox.top, to - from, bbox.height);
      ctx.clip();
      for (let at = from - bbox.height; at < to; at += gap) { ctx.beginPath(); ctx.moveTo(at, bbox.top + bbox.height); ctx.lineTo(at + bbox.height, bbox.top); ctx.stroke(); }
      ctx.restore();
    }
    ctx.restore();
  }

  /** @param {uPlot} plot */
  over(plot) {
    const { limit } = this.props, { ctx, bbox } = plot, r = devicePixelRatio;
    ctx.save();
    ctx.textBaseline = 'middle';
    const [low, high] = this.reached();
    if (limit && limit.at >= low && limit.at <= high) {
      const y = plot.valToPos(limit.at, 'y', true);
      ctx.strokeStyle = ctx.fillStyle = token('--ink-2');
      ctx.lineWidth = r;
      ctx.setLineDash([5 * r, 4 * r]);
      ctx.beginPath(); ctx.moveTo(bbox.left, y); ctx.lineTo(bbox.left + bbox.width, y); ctx.stroke();
      ctx.setLineDash([]);
      ctx.font = `500 ${11 * r}px ${token('--sans')}`;
      ctx.textAlign = 'left';
      ctx.fillText(limit.label, bbox.left + 4 * r, y + (y - bbox.top < 20 * r ? 9 : -8) * r);
    }
    const [from] = this.reach();
    for (const one of this.placed.filter(mark => mark.at >= from)) {
      const x = plot.valToPos(one.at / 1000, 'x', true), y = bbox.top - this.laneHeight * r + (one.row * 16 + 9) * r, half = 4 * r;
      ctx.strokeStyle = ctx.fillStyle = token(one.kind === 'incident' ? '--failing' : '--ink-2');
      ctx.lineWidth = r;
      ctx.setLineDash(one.kind === 'incident' ? [] : [2 * r, 3 * r]);
      ctx.beginPath(); ctx.moveTo(x, y + 6 * r); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
      ctx.setLineDash([]);
      ctx.beginPath();
      if (one.kind === 'incident') ctx.rect(x - half, y - half, 2 * half, 2 * half);
      else if (one.kind === 'deploy') { ctx.moveTo(x, y - half); ctx.lineTo(x + half, y + half); ctx.lineTo(x - half, y + half); }
      else ctx.arc(x, y, half * .9, 0, 7);
      ctx.fill();
      ctx.font = `${one.kind === 'incident' ? 600 : 500} ${11.5 * r}px ${token('--sans')}`;
      ctx.textAlign = one.flip ? 'right' : 'left';
      ctx.fillText(one.label, x + (one.flip ? -8 : 8) * r, y);
    }
    ctx.restore();
  }

  /** @param {number | null} at */
  move(at) {
    if (!this.plot) return;
    if (at === null) this.plot.setCursor({ left: -10, top: -10 });
    else this.plot.setCursor({ left: this.plot.valToPos(this.times()[at], 'x'), top: 10 });
    this.setState({ at });
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const last = this.props.lines[0].values.length - 1, at = this.state.at ?? last;
    /** @type {Record<string, number>} */
    const places = { ArrowLeft: Math.max(0, at - 1), ArrowRight: Math.min(last, at + 1), Home: 0, End: last }, to = places[event.key];
    if (to !== undefined) this.move(to);
    else if (event.key === 'Escape') { this.move(null); this.box?.blur(); }
    else if (event.key === 'v') this.setState({ twin: !this.state.twin });
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  readout() {
    const { lines, band } = this.props, latest = lines[0].values.findLastIndex(value => value != null), at = this.state.at ?? latest;
    if (at < 0 || at >= lines[0].values.length) return null;
    return html`<span class="readout num">until ${clock(this.times()[at] * 1000, this.props.step < 30_000)} ${lines.map((one, nth) => html`${lines.length > 1 && html`<i ref=${(/** @type {HTMLElement | null} */ dot) => { if (dot) dot.style.background = `var(${this.color(one, nth)})`; }}></i>${one.name} `}<b>${this.told(one.values[at])}</b> `)}
      ${band?.low[at] != null ? html`· usual ${this.told(band.low[at])} to ${this.told(band.high[at])}` : null}</span>`;
  }

  alt() {
    const { title, lines, step } = this.props, first = known(lines[0].values);
    const found = first.length ? `${lines[0].name}: between ${this.told(Math.min(...first))} and ${this.told(Math.max(...first))}, last ${this.told(first.at(-1))}.` : 'No data.';
    return `${title}, by ${duration(step / 1000)}. ${found} Arrow keys read it, v shows a table.`;
  }

  table() {
    const { lines, band, step } = this.props, rows = this.times().map((at, nth) => [at * 1000, nth]).reverse();
    return html`<div class="twin" tabindex="0" role="group" aria-label="Values as a table"><table class="tb">
      <thead><tr><th scope="col">Until</th>${lines.map(one => html`<th scope="col" class="r">${one.name}</th>`)}${band && html`<th scope="col" class="r">usual from</th><th scope="col" class="r">to</th>`}</tr></thead>
      <tbody>${rows.map(([ms, nth]) => html`<tr><td class="num">${clock(ms, step < 30_000)}</td>${lines.map(one => html`<td class="r">${this.told(one.values[nth])}</td>`)}${band && html`<td class="r">${this.told(band.low[nth])}</td><td class="r">${this.told(band.high[nth])}</td>`}</tr>`)}</tbody>
    </table></div>`;
  }

  /** @param {Readonly<Chart>} props */
  render({ title, unit, wide = 12, children }) {
    return html`<section class=${`sec c${wide}`} aria-label=${title}>
      <header><h2>${title}</h2>${unit && html`<span class="unit">${unit}</span>`}${this.readout()}</header>
      <div class="plot" ref=${(/** @type {HTMLElement | null} */ box) => { this.box = box; }} tabindex="0" role="img" aria-label=${this.alt()} onKeyDown=${(/** @type {KeyboardEvent} */ event) => this.key(event)} onBlur=${() => this.move(null)}></div>
      ${this.state.twin && this.table()}${children}
    </section>`;
  }
}

/**
 * Where a condition holds without a break: the first and the last of each run.
 * @param {readonly unknown[]} all
 * @param {(at: number) => boolean} holds
 */
function runs(all, holds) {
  /** @type {[number, number][]} */
  const found = [];
  for (let at = 0; at < all.length; at++) {
    if (!holds(at)) continue;
    const from = at;
    while (at + 1 < all.length && holds(at + 1)) at++;
    found.push([from, at]);
  }
  return found;
}

/**
 * A number at an axis, with no more places than it has.
 * @param {number} value
 */
export const tidy = value => number(value, Number.isInteger(value) ? 0 : Math.abs(value) < 1 ? 2 : 1);

/**
 * A share at an axis.
 * @param {number} value
 */
export const whole = value => `${Math.round(value * 100)}${NB}%`;
