// The pipeline: from the producers to the page, how far everything is, and what was refused.
import { page } from './app.js';
import { counts, tidy, TimeChart } from './charts.js';
import { Columns, Mark, Pipe, Rule, Section, Table, Tiles } from './parts.js';
import { html } from './preact.js';
import { spark } from './small.js';
import { duration, number } from './text.js';

/** @import { Lines, PipelinePage, SourceSeen, TopicLag, Worker as Process } from './api.js' */
/** @import { Seen } from './app.js' */
/** @import { Column } from './parts.js' */

const aged = (/** @type {number | null} */ seconds) => seconds == null ? '–' : duration(seconds);
/** @type {Column<Process>[]} */
const WORKERS = [
  { name: 'Process', cell: one => html`<b>${one.name}</b>` },
  { name: 'Role', cell: one => one.role },
  { name: 'Partitions', right: true, cell: one => number(one.partitions) },
  { name: 'Lag', right: true, cell: one => number(one.lag) },
  { name: 'Wrote', right: true, hide: true, cell: one => one.flushed_s == null ? '–' : `${aged(one.flushed_s)} ago` },
  { name: 'State', cell: one => html`<${Mark} state=${one.state} /> ${one.detail}` },
];
/** @type {Column<TopicLag>[]} */
const TOPICS = [
  { name: 'Topic', cell: one => html`<code>${one.topic}</code>` },
  { name: 'Partitions', right: true, hide: true, cell: one => one.partitions },
  { name: 'Read', right: true, cell: one => number(one.read) },
  { name: 'Lag', right: true, cell: one => number(one.lag) },
  { name: 'Watermark', right: true, cell: one => one.watermark_s == null ? '–' : `${aged(one.watermark_s)} old` },
  { name: 'State', cell: one => html`<${Mark} state=${one.state} />` },
];
/** @type {Column<SourceSeen>[]} */
const SOURCES = [
  { name: 'Source', cell: one => html`<code>${one.source}</code>` },
  { name: 'A minute', cell: one => html`<div class="spark">${spark(one.per_minute)}</div>` },
  { name: 'Events', right: true, cell: one => number(one.events) },
  { name: 'Last', right: true, cell: one => one.age_s == null ? '–' : one.age_s ? `${aged(one.age_s)} ago` : 'now' },
  { name: 'State', cell: one => html`<${Mark} state=${one.state} word=${one.state === 'nodata' ? 'Silent' : undefined} />` },
];
/** @type {Column<{ name: string, count: number }>[]} */
const REASONS = [{ name: 'Reason', cell: one => html`<code>${one.name}</code>` }, { name: 'Records', right: true, cell: one => number(one.count) }];
const list = (/** @type {Record<string, number>} */ counted) => Object.entries(counted).map(([name, count]) => ({ key: name, name, count }));
const lines = (/** @type {Lines} */ of) => Object.entries(of.lines).map(([name, values]) => ({ name, values }));

/** @param {Seen<PipelinePage>} seen */
const Pipeline = ({ told, age }) => html`
  <${Tiles} tiles=${told.tiles} age=${age} />
  <${Section} title="From the producers to the page"><${Pipe} stations=${told.stations} /><//>
  <${Rule} />
  <${Columns}>
    <${TimeChart} title="Events" unit="a second, all sources" wide=${6} ends=${told.events.ends} step=${told.events.step}
      lines=${lines(told.events)} splits=${counts(10, ...Object.values(told.events.lines))} told=${(/** @type {number} */ value) => number(value, value < 10 ? 1 : 0)} tick=${tidy} />
    <${TimeChart} title="Refused and repeated" unit=${`in ${duration(told.refused.step / 1000)}`} wide=${6} ends=${told.refused.ends} step=${told.refused.step}
      lines=${lines(told.refused)} splits=${counts(4, ...Object.values(told.refused.lines))} told=${value => number(value)} />
  <//>
  <${Rule} />
  <${Columns}>
    <${Section} title="Processes" wide=${6}><${Table} columns=${WORKERS} rows=${told.workers} empty="No process has been heard: start one with tillwatch worker." label="Processes" /><//>
    <${Section} title="Sources" unit="who publishes, the busiest first" wide=${6}><${Table} columns=${SOURCES} rows=${told.sources} empty="No event has arrived in this time." label="Sources" /><//>
  <//>
  <${Rule} />
  <${Columns}>
    <${Section} title="Topics" wide=${6}><${Table} columns=${TOPICS} rows=${told.topics} empty="No partition is read." label="Topics" /><//>
    <${Section} title="Dead letters" unit="by reason" wide=${3}><${Table} columns=${REASONS} rows=${list(told.letters)} empty="Every record could be used." label="Dead letters" /><//>
    <${Section} title="Counted beside" wide=${3}><${Table} columns=${REASONS} rows=${list(told.drift)} empty="Nothing unusual came." label="Counted beside" /><//>
  <//>`;

page(Pipeline);
