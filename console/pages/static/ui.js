// Small helpers: elements, words, times, theme and keys. No dependencies.
export const NB = '\u00a0';
const WORDS = { ok: 'OK', degraded: 'Degraded', failing: 'Failing', nodata: 'No data', behind: 'Behind', stale: 'Stale' };
const SVG = 'http://www.w3.org/2000/svg';

/** An element with attributes and children; texts are texts, never markup. */
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value != null && value !== false) made.setAttribute(key, value);
  made.append(...children.filter(child => child != null));
  return made;
}

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export const icon = name => svg('svg', { class: 'i', 'aria-hidden': 'true' }, svg('use', { href: `/static/icons.svg#${name}` }));
export const mark = (state, word) => el('span', { class: 'st', 'data-s': state }, icon(state), word ?? WORDS[state]);
export const word = state => WORDS[state];

const two = number => String(number).padStart(2, '0');
/** `11:02`, with the day where that is not today; `11:02:15` with seconds. */
export function clock(ms, seconds = false) {
  const at = new Date(ms);
  const time = `${two(at.getHours())}:${two(at.getMinutes())}${seconds ? `:${two(at.getSeconds())}` : ''}`;
  const today = new Date().toDateString() === at.toDateString();
  return today ? time : `${at.toLocaleDateString('en-GB', { weekday: 'short', day: 'numeric', month: 'short' })} ${time}`;
}

export const zone = () => new Intl.DateTimeFormat('en-GB', { timeZoneName: 'short' }).formatToParts().find(part => part.type === 'timeZoneName').value;

/** Two units at most: `63 s`, `7 min 35 s`, `2 h 14 min`. */
export function age(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole}${NB}s`;
  if (whole < 7200) return `${Math.floor(whole / 60)}${NB}min`;
  return whole < 172800 ? `${Math.floor(whole / 3600)}${NB}h` : `${Math.floor(whole / 86400)} days`;
}

/** A sentence of texts and times, as nodes. */
export const words = parts => parts.map(part => typeof part === 'number' ? el('time', { datetime: new Date(part).toISOString() }, clock(part)) : part);
export const text = parts => parts.map(part => typeof part === 'number' ? clock(part) : part).join('');

/** The theme and the keyboard map: buttons with data-do, and single letters while no field has focus. */
export function commands(themed) {
  const dialog = document.getElementById('keys');
  const does = {
    theme() {
      const next = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark';
      document.documentElement.dataset.theme = next;
      try { localStorage.setItem('tillwatch-theme', next); } catch { /* storage is switched off */ }
      themed?.();
    },
    keys() { dialog.showModal(); },
  };
  for (const button of document.querySelectorAll('[data-do]')) button.addEventListener('click', () => does[button.dataset.do]());
  addEventListener('keydown', event => {
    if (event.target.closest?.('input, textarea, dialog') || event.metaKey || event.ctrlKey || event.altKey) return;
    if (event.key === 't') does.theme();
    if (event.key === '?') does.keys();
  });
}
