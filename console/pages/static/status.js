// The public page, kept fresh without losing the place: what the server sends now takes the place of what it sent. What grows
// old, because nothing is measured or nobody answers, is not shown as well any longer.
const EVERY_MS = 4_000;
/** Seconds: what was measured is up to 4 s old when it is sent, and asked for again after 4. */
const OLD_S = 13;
const main = /** @type {HTMLElement} */ (document.querySelector('main'));
let heard = performance.now(), asking = false;

async function again() {
  if (document.hidden || asking) return;
  const asked = performance.now();
  asking = true;
  try {
    const answer = await fetch('/status', { headers: { Accept: 'text/html' }, cache: 'no-cache' });
    if (answer.ok) take(new DOMParser().parseFromString(await answer.text(), 'text/html'), asked);
  } catch { /* the next time */ } finally { asking = false; }
}

/**
 * Shows what came, asked for at a time of `performance.now()`.
 * @param {Document} page
 * @param {number} asked
 */
function take(page, asked) {
  const next = page.querySelector('main');
  if (!next) return;
  heard = asked;
  main.dataset.age = next.dataset.age;
  if (next.textContent === main.textContent) return;
  main.replaceChildren(...next.children);
  document.title = page.title;
}

function age() {
  const told = main.dataset.age;
  if (told === '' || Number(told) + (performance.now() - heard) / 1000 <= OLD_S) return;
  for (const one of /** @type {NodeListOf<HTMLElement>} */ (main.querySelectorAll('[data-s="ok"]'))) {
    one.dataset.s = 'nodata';
    one.querySelector('use')?.setAttribute('href', '/static/icons.svg#nodata');
    if (one.matches('.st') && one.lastChild) one.lastChild.textContent = 'Not measured';
  }
  const verdict = /** @type {HTMLElement | null} */ (main.querySelector('.verdict'));
  const [head, why] = [verdict?.querySelector('h1'), verdict?.querySelector('.why')];
  if (verdict?.dataset.s !== 'nodata' || !head || !why) return;
  head.textContent = 'We do not know how payments are right now.';
  why.textContent = 'Nothing could be measured for a while.';
}

setInterval(again, EVERY_MS);
setInterval(age, 1_000);
document.addEventListener('visibilitychange', again);
