// What is looked at, which is in the address: so that it can be pasted into a chat, and kept from page to page.
const KEPT = ['range', 'from', 'to'];
const changed = new EventTarget();

export const view = () => new URLSearchParams(location.search);

/** Sets what is given, takes away what is null, and tells who listens. `replace`: not as a step of its own to go back to. */
export function look(at, { replace = false } = {}) {
  const asked = view();
  for (const [key, value] of Object.entries(at)) value == null ? asked.delete(key) : asked.set(key, value);
  const query = asked.toString();
  history[replace ? 'replaceState' : 'pushState'](null, '', `${location.pathname}${query ? `?${query}` : ''}${location.hash}`);
  changed.dispatchEvent(new Event('view'));
}

/** The time that was brushed, or one of the lengths. */
export const span = (from, to) => look({ from: new Date(from).toISOString(), to: new Date(to).toISOString(), range: null });
export const range = length => look({ range: length, from: null, to: null });

export const onView = then => changed.addEventListener('view', then);
addEventListener('popstate', () => changed.dispatchEvent(new Event('view')));

/** Links to other pages take the time along. */
function carry() {
  const now = view(), kept = new URLSearchParams(KEPT.filter(key => now.has(key)).map(key => [key, now.get(key)]));
  for (const link of document.querySelectorAll('a[data-page]')) link.search = kept.toString();
}
onView(carry);
carry();
