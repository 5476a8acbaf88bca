// The public page, kept fresh without losing the place: what the server sends now takes the place of what it sent.
const EVERY_MS = 30_000;
const main = document.querySelector('main');

async function again() {
  if (document.hidden) return;
  const answer = await fetch('/status', { headers: { Accept: 'text/html' } }).catch(() => null);
  if (!answer?.ok) return;
  const next = new DOMParser().parseFromString(await answer.text(), 'text/html');
  if (next.querySelector('main').textContent === main.textContent) return;
  main.replaceChildren(...next.querySelector('main').children);
  document.title = next.title;
}

setInterval(again, EVERY_MS);
document.addEventListener('visibilitychange', again);
