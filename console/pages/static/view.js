// What is looked at, which is in the address: so that it can be pasted into a chat, and kept from page to page.
const KEPT = ['range', 'from', 'to'];
const changed = new EventTarget();

export const view = () => new URLSearchParams(location.search);

/**
 * Sets what is given, takes away what is null, and tells who listens. `replace`: not as a step of its own to go back to.
 * @param {Record<string, string | number | null>} at
 */
export function look(at, { replace = false } = {}) {
  const asked = view();
  for (const [key, value] of Object.entries(at)) value == null ? asked.delete(key) : asked.set(key, String(value));
  const query = asked.toString();
  history[replace ? 'replaceState' : 'pushState'](null, '', `${location.pathname}${query ? `?${query}` : ''}${location.hash}`);
  changed.dispatchEvent(new Event('view'));
}

/**
 * The time that was brushed.
 * @param {number} from
 * @param {number} to
 */
export const span = (from, to) => look({ from: new Date(from).toISOString(), to: new Date(to).toISOString(), range: null });
/** @param {string | undefined} length one of the page's lengths of time */
export const range = length => look({ range: length ?? null, from: null, to: null });

/** @param {() => void} then */
export const onView = then => changed.addEventListener('view', then);
addEventListener('popstate', () => changed.dispatchEvent(new Event('view')));

/** Links to other pages take the time along. */
function carry() {
  const now = view(), kept = new URLSearchParams(KEPT.flatMap(key => { const value = now.get(key); return value === null ? [] : [[key, value]]; }));
  for (const link of /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll('a[data-page]'))) link.search = kept.toString();
}
onView(carry);
carry();
