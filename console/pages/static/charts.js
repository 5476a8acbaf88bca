// A sparkline, and a rate over time. Missing values are gaps; a minute's value stands at its end.
import { clock, el, NB, svg } from './ui.js';

/** The line through these points as path data; null ends a piece. */
function path(points) {
  let down = false;
  return points.map(point => {
    if (point === null) { down = false; return ''; }
    const piece = `${down ? 'L' : 'M'}${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
    down = true;
    return piece;
  }).join('');
}

export function spark(values) {
  const known = values.filter(value => value !== null);
  if (known.length < 2) return null;
  const low = Math.min(...known), high = Math.max(...known);
  const span = Math.max(high - low, Math.abs(high) * .15, 1e-9);  // noise must not look like news
  const middle = (low + high) / 2;
  const points = values.map((value, at) => value === null ? null : [100 * at / (values.length - 1), 17 - 30 * (value - middle) / span]);
  return svg('svg', { viewBox: '0 0 100 34', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, svg('path', { class: 'line', d: path(points) }));
}

const LEFT = 44, RIGHT = 10, TOP = 8, FOOT = 22;
const SCALES = [[.9, 5], [.8, 4], [.5, 5], [0, 4]];  // where the axis begins, and in how many steps it rises to 100 %

export class RateChart {
  /** box: the element; readout: what tells the value at the cursor; twin: where the table goes; target: a share. */
  constructor(box, readout, twin, target) {
    Object.assign(this, { box, readout, twin, target, at: null, values: [], end: 0 });
    new ResizeObserver(() => this.draw()).observe(box);
    box.addEventListener('keydown', event => this.key(event));
    box.addEventListener('pointermove', event => this.point(event.clientX - box.getBoundingClientRect().left));
    box.addEventListener('pointerleave', () => this.move(null));
    box.addEventListener('blur', () => this.move(null));
  }

  show(values, end) {
    Object.assign(this, { values, end });
    this.draw();
    if (!this.twin.hidden) this.table();
  }

  until(at) { return this.end - (this.values.length - 1 - at) * 60_000; }
  told(value) { return value === null ? 'no payment' : `${(value * 100).toFixed(1)}${NB}%`; }

  key(event) {
    const last = this.values.length - 1, at = this.at ?? last;
    const to = { ArrowLeft: Math.max(0, at - 1), ArrowRight: Math.min(last, at + 1), Home: 0, End: last }[event.key];
    if (to !== undefined) this.move(to);
    else if (event.key === 'Escape') this.box.blur();
    else if (event.key === 'v') { this.twin.hidden = !this.twin.hidden; this.table(); }
    else return;
    event.preventDefault();
  }

  point(x) {
    const width = this.box.clientWidth - LEFT - RIGHT;
    this.move(Math.max(0, Math.min(this.values.length - 1, Math.round((x - LEFT) / width * (this.values.length - 1)))));
  }

  move(at) { this.at = at; this.draw(); }

  table() {
    const rows = this.values.map((value, at) => el('tr', {}, el('td', { class: 'num' }, clock(this.until(at))), el('td', { class: 'r' }, this.told(value))));
    this.twin.replaceChildren(el('table', { class: 'tb' }, el('thead', {}, el('tr', {}, el('th', {}, 'Until'), el('th', { class: 'r' }, 'Success'))), el('tbody', {}, ...rows.reverse())));
  }

  draw() {
    const { values, box } = this, width = box.clientWidth, height = box.clientHeight;
    if (!width || !values.length) return;
    const known = values.filter(value => value !== null), least = Math.min(1, ...known);
    const [floor, steps] = SCALES.find(([from]) => from <= least - .01) ?? SCALES.at(-1);
    const x = at => LEFT + (width - LEFT - RIGHT) * at / (values.length - 1);
    const y = value => TOP + (height - TOP - FOOT) * (1 - (value - floor) / (1 - floor));
    const parts = [];
    for (let step = 0; step <= steps; step++) {
      const value = floor + (1 - floor) * step / steps;
      parts.push(svg('line', { class: 'grid', x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }));
      parts.push(svg('text', { x: LEFT - 6, y: y(value) + 4, 'text-anchor': 'end' }, `${Math.round(value * 100)}${NB}%`));
    }
    for (let at = values.length - 1; at >= 0; at--) {
      const minute = new Date(this.until(at)).getMinutes();
      if (minute % (width < 460 ? 20 : 10) === 0) parts.push(svg('text', { x: x(at), y: height - 4, 'text-anchor': 'middle' }, clock(this.until(at)).slice(-5)));
    }
    parts.push(svg('line', { class: 'limit', x1: LEFT, x2: width - RIGHT, y1: y(this.target), y2: y(this.target) }));
    parts.push(svg('text', { x: LEFT + 4, y: y(this.target) + 14 }, `target ${this.target * 100}${NB}%`));
    parts.push(svg('path', { class: 'line', d: path(values.map((value, at) => value === null ? null : [x(at), y(value)])) }));
    if (this.at !== null) parts.push(svg('line', { class: 'cursor', x1: x(this.at), x2: x(this.at), y1: TOP, y2: height - FOOT }));
    box.replaceChildren(svg('svg', { 'aria-hidden': 'true' }, ...parts));
    const latest = values.findLastIndex(value => value !== null), at = this.at ?? latest;
    this.readout.replaceChildren(...(at < 0 ? [] : [`until ${clock(this.until(at))} `, el('b', {}, this.told(values[at]))]));
    const worst = known.length ? ` Between ${this.told(Math.min(...known))} and ${this.told(Math.max(...known))}.` : '';
    box.setAttribute('aria-label', `Success rate of the last ${values.length} minutes.${worst} Arrow keys read it, v shows a table.`);
  }
}
