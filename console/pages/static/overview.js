// The first page: shows what the server tells every two seconds, and greys out when it tells nothing any more.
import { RateChart, spark } from './charts.js';
import { age, clock, commands, el, icon, mark, NB, text, word, words, zone } from './ui.js';

const OLD_S = 15, STALE_S = 60;
const $ = id => document.getElementById(id);
const chart = new RateChart($('success'), $('readout'), $('twin'), .95);
let told = JSON.parse($('first').textContent);
let heard = performance.now();
let verdict = '';

/** Seconds since the data were known to be complete; null where that was never known. The server's clock and ours may differ. */
const oldness = () => told.as_of === null ? null : (told.now - told.as_of + performance.now() - heard) / 1000;

function freshness() {
  const seconds = oldness(), state = seconds === null ? 'nodata' : seconds > OLD_S ? 'stale' : 'ok';
  $('fresh').dataset.s = state;
  $('fresh').replaceChildren(...(seconds === null ? [icon(state), ' No data yet'] : [state === 'ok' ? '' : icon(state), ' Data to ', el('b', {}, clock(told.as_of, true)), ` · ${age(seconds)} old · ${zone()}`]));
  $('main').classList.toggle('stale', state === 'stale');
  const lost = seconds !== null && seconds > STALE_S && !['stale', 'behind'].includes(told.state);
  if (lost) say('stale', ['Nothing is known since ', told.as_of, '.'], ['Until then: ', ...told.sentence]);
  else say(told.state, told.sentence, told.why);
  for (const tile of document.querySelectorAll('.tile')) {
    const is = state === 'stale' ? 'stale' : tile.dataset.was;
    tile.dataset.s = is;
    tile.querySelector('dt').lastChild.replaceWith(state === 'stale' ? mark('stale', `${age(seconds)} old`) : is === 'ok' ? el('span', { class: 'muted' }, seconds === null ? '' : `${age(seconds)} old`) : mark(is));
  }
}

function say(state, sentence, why) {
  const now = JSON.stringify([state, sentence, why]);
  if (now === verdict) return;  // it is announced once
  verdict = now;
  const box = $('verdict');
  box.dataset.s = state;
  box.querySelector('.i').replaceWith(icon(state));
  box.querySelector('h1').replaceChildren(...words(sentence));
  box.querySelector('.why').replaceChildren(...words(why));
  document.title = `${text(sentence)} · Tillwatch`;
}

function tile(one) {
  return el('div', { class: 'tile', 'data-s': one.state, 'data-was': one.state },
    el('dt', {}, one.name, el('span')),
    el('dd', { class: 'fig num' }, one.figure, one.unit && one.figure !== '–' ? el('small', {}, one.unit) : null),
    el('dd', { class: 'spark' }, spark(one.trend)),
    el('dd', { class: 'cmp num' }, one.note));
}

const provider = one => el('tr', { 'data-s': one.state },
  el('td', {}, el('b', {}, one.name)),
  el('td', { class: 'r' }, one.success === '–' ? '–' : `${one.success}${NB}%`),
  el('td', { class: 'r' }, one.latency === '–' ? '–' : `${one.latency}${NB}s`),
  el('td', { class: 'r hide-s' }, one.per_minute),
  el('td', {}, mark(one.state)));

const alert = one => el('tr', {},
  el('td', { class: 'num' }, clock(one.since, true)),
  el('td', {}, mark(one.state, one.level)),
  el('td', {}, el('code', {}, one.rule)),
  el('td', {}, one.summary, one.held_back ? el('span', { class: 'muted' }, ' (pages nobody: another alert says it already)') : null));

function alerts(found) {
  if (!found.length) return el('p', { class: 'empty' }, 'No alert fires.');
  const head = ['Since', 'Level', 'Rule', 'What'].map(name => el('th', {}, name));
  return el('table', { class: 'tb' }, el('thead', {}, el('tr', {}, ...head)), el('tbody', {}, ...found.map(alert)));
}

const station = one => el('li', { 'data-s': one.state }, icon(one.state), el('b', {}, `${one.name} `, el('span', {}, word(one.state))), ...one.lines.map(line => el('div', {}, line)));

function show() {
  $('tiles').replaceChildren(...told.tiles.map(tile));
  chart.show(told.success, told.minutes_end);
  const some = told.providers.map(provider);
  $('providers').replaceChildren(...(some.length ? some : [el('tr', {}, el('td', { colspan: 5, class: 'muted' }, 'Providers show with their first payment.'))]));
  $('alerts').replaceChildren(alerts(told.alerts));
  $('pipe').replaceChildren(...told.pipeline.map(station));
  freshness();
}

commands();
show();
setInterval(freshness, 1000);
const events = new EventSource('/api/v1/events');
events.addEventListener('overview', event => {
  told = JSON.parse(event.data);
  heard = performance.now();
  show();
});
