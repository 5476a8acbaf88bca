// Payments as they happen, while somebody looks: how many, the last ones, and all events of one.
import { ask } from './app.js';
import { Empty, Failed, Mark, Section, Table, Time } from './parts.js';
import { Component, html } from './preact.js';
import { NB, number } from './text.js';

/** @import { LivePayment, LivePayments, PaymentEvent, TransactionEvents } from './api.js' */
/** @import { Column, State } from './parts.js' */

const EVERY_MS = 2_000;
/** @type {Record<string, [State | '', string]>} */
const STATES = { initiated: ['', 'Started'], redirected: ['', 'With the provider'], succeeded: ['ok', 'Paid'], failed: ['failing', 'Failed'], refunded: ['', 'Refunded'] };
/** @param {{ one: LivePayment }} props */
const Became = ({ one }) => {
  const [state, word] = one.state === 'failed' && one.fault === 'business' ? ['degraded', 'Declined'] : STATES[one.state] ?? ['', one.state];
  return state ? html`<${Mark} state=${state} word=${word} />` : html`<span class="st">${word}</span>`;
};
const amount = (/** @type {LivePayment} */ one) => `${number(one.amount / 100, 2)}${NB}${one.currency}`;

/** @type {Column<LivePayment>[]} */
const COLUMNS = [
  { name: 'Last event', cell: one => html`<span class="num"><${Time} ms=${one.at} seconds /></span>` },
  { name: 'Payment', cell: one => html`<code>${one.id}</code>` },
  { name: 'State', cell: one => html`<${Became} one=${one} />` },
  { name: 'Provider', cell: one => `${one.provider} ${one.method}` },
  { name: 'Amount', right: true, cell: amount },
  { name: 'Took', right: true, hide: true, cell: one => one.latency_s === null ? '–' : `${number(one.latency_s, 1)}${NB}s` },
  { name: 'Reason', hide: true, cell: one => one.reason ? html`<code>${one.reason}</code>` : '' },
];
/** @type {Column<PaymentEvent>[]} */
const EVENTS = [
  { name: 'Time', cell: one => html`<span class="num"><${Time} ms=${one.at} seconds /></span>` },
  { name: 'Event', cell: one => html`<code>${one.type}</code>` },
  { name: 'What it told', cell: one => Object.entries(one.told).map(([name, value]) => `${name} ${value}`).join(', ') },
  { name: 'From', hide: true, cell: one => html`<span class="muted">${one.source}</span>` },
];

/**
 * @typedef {object} Known
 * @property {LivePayments | null} told
 * @property {string | null} error
 * @property {TransactionEvents | null} found
 * @property {boolean} looking
 * @property {string | null} wrong
 */

/**
 * How many a minute, the last ones, and the look-up of one.
 * @extends {Component<{}, Known>}
 */
export class Happening extends Component {
  /** @type {Known} */
  state = { told: null, error: null, found: null, looking: false, wrong: null };
  asking = false;
  timer = 0;

  componentDidMount() {
    this.look();
    this.timer = setInterval(() => document.hidden || !this.near() || this.look(), EVERY_MS);
  }

  componentWillUnmount() { clearInterval(this.timer); }

  /** Whether it is on the screen or almost: nobody follows payments that nobody looks at. */
  near() {
    const box = this.base?.getBoundingClientRect();
    return !box || (box.top < innerHeight + 400 && box.bottom > -400);
  }

  async look() {
    if (this.asking) return;
    this.asking = true;
    try { this.setState({ told: await ask('/api/v1/payments/live'), error: null }); }
    catch (problem) { this.setState({ error: problem.message }); }
    finally { this.asking = false; }
  }

  /** @param {Record<string, string>} query */
  async find(query) {
    this.setState({ looking: true, wrong: null });
    try { this.setState({ found: await ask(`/api/v1/payments/events?${new URLSearchParams(query)}`), looking: false }); }
    catch (problem) { this.setState({ wrong: problem.message, found: null, looking: false }); }
  }

  /** @param {SubmitEvent} event */
  search(event) {
    event.preventDefault();
    const transaction = String(new FormData(/** @type {HTMLFormElement} */ (event.target)).get('transaction')).trim();
    if (transaction) this.find({ transaction });
  }

  rates() {
    const { told } = this.state;
    if (!told) return 'asking';
    const each = (/** @type {number | null} */ value, /** @type {string} */ word) => html`<b>${value === null ? '–' : number(value, value < 10 ? 1 : 0)}</b> ${word}`;
    return html`<span class="num">a minute: ${each(told.initiated, 'started')}, ${each(told.succeeded, 'paid')}, ${each(told.failed, 'failed or declined')} · <b>${told.unfinished === null ? '–' : number(told.unfinished)}</b> of the last 15 min not finished</span>`;
  }

  /**
   * @param {{}} _
   * @param {Readonly<Known>} known
   */
  render(_, { told, error, found, looking, wrong }) {
    return html`<${Section} title="Payments as they happen" end=${this.rates()}>
      <form class="note-in" onSubmit=${(/** @type {SubmitEvent} */ event) => this.search(event)}>
        <input name="transaction" maxlength="256" autocomplete="off" spellcheck="false" placeholder="A transaction id" aria-label="Look up a transaction by its id" />
        <button class="btn" disabled=${looking}>${looking ? 'Looking' : 'Look up'}</button>
      </form>
      ${wrong && html`<p class="say"><${Mark} state="nodata" word="Not found" /> ${wrong}</p>`}
      ${found && html`<${Found} found=${found} close=${() => this.setState({ found: null })} />`}
      ${error && html`<${Failed} why=${error} />`}
      ${told?.away && html`<p class="say"><${Mark} state="nodata" word="Not followed" /> ${told.away}</p>`}
      ${told && told.skipped > 0 && html`<p class="say">Too many to show all: ${number(told.skipped)} events were left out here. The figures count every one.</p>`}
      ${told && html`<${Table} columns=${COLUMNS} rows=${told.payments.map(one => ({ ...one, key: one.place }))} open=${(/** @type {LivePayment} */ one) => { this.find({ place: one.place }); }} empty="The next payment shows here." label="The last payments; Enter shows all events of one" />`}
      ${!told && !error && html`<${Empty}>Asking for the last payments.<//>`}
    <//>`;
  }
}

/** @param {{ found: TransactionEvents, close: () => void }} props */
const Found = ({ found, close }) => html`<section aria-label="Events of one transaction" role="status">
  <p class="say"><b><code>${found.transaction}</code></b>: ${found.events.length ? `${number(found.events.length)} events.` : 'no event was found.'}
    ${!found.whole && html` Looked at the last ${number(found.looked_at)} records${found.back_to === null ? '' : html`, back to <${Time} ms=${found.back_to} seconds />`}; what is older was not looked at.`}
    ${' '}<button class="btn plain" onClick=${close}>Close</button></p>
  ${found.events.length > 0 && html`<${Table} columns=${EVENTS} rows=${found.events.map(one => ({ ...one, key: `${one.partition} ${one.offset}` }))} empty="" label="Events of the transaction" />`}
</section>`;
