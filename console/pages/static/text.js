// Words and numbers as they are written on every page. Times are epoch ms, in the reader's own zone.
export const NB = '\u00a0';
/** @type {Record<string, string>} */
export const WORDS = { ok: 'OK', degraded: 'Degraded', failing: 'Failing', nodata: 'No data', behind: 'Behind', stale: 'Stale', maint: 'Maintenance' };

/** @param {number} number */
const two = number => String(number).padStart(2, '0');

/**
 * `11:02`, with the day where that is not today; `11:02:15` with seconds.
 * @param {number} ms
 */
export function clock(ms, seconds = false) {
  const at = new Date(ms), now = new Date();
  const time = `${two(at.getHours())}:${two(at.getMinutes())}${seconds ? `:${two(at.getSeconds())}` : ''}`;
  if (now.toDateString() === at.toDateString()) return time;
  const year = now.getFullYear() === at.getFullYear() ? undefined : 'numeric';
  return `${at.toLocaleDateString('en-GB', { weekday: 'short', day: 'numeric', month: 'short', year })} ${time}`;
}

export const zone = () => new Intl.DateTimeFormat('en-GB', { timeZoneName: 'short' }).formatToParts().find(part => part.type === 'timeZoneName')?.value;

/**
 * Two units at most: `63 s`, `7 min 35 s`, `2 h 14 min`, `3 days`.
 * @param {number} seconds
 */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole}${NB}s`;
  const minutes = Math.floor(whole / 60), rest = whole % 60;
  if (minutes < 120) return `${minutes}${NB}min${rest && minutes < 10 ? ` ${rest}${NB}s` : ''}`;
  if (whole < 172800) return `${Math.floor(minutes / 60)}${NB}h${minutes % 60 ? ` ${minutes % 60}${NB}min` : ''}`;
  return `${Math.floor(whole / 86400)} days`;
}

/**
 * `1 480`, with the places that are asked for; a dash where nothing is known.
 * @param {number | null | undefined} value
 */
export function number(value, places = 0) {
  if (value == null) return '–';
  const [whole, part] = Math.abs(value).toFixed(places).split('.');
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, NB);
  return `${value < 0 ? '−' : ''}${grouped}${part ? `.${part}` : ''}`;
}

/**
 * A fraction as a share: `97.2 %`.
 * @param {number | null | undefined} value
 */
export const percent = (value, places = 1) => value == null ? '–' : `${number(value * 100, places)}${NB}%`;

/**
 * A sentence where only texts fit: a title, an attribute.
 * @param {(string | number)[]} parts texts and times
 */
export const plain = parts => parts.map(part => typeof part === 'number' ? clock(part) : part).join('');
