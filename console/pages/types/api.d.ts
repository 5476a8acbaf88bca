// What the API takes and answers. Made from the routes by `python -m console.openapi`: what is changed here is lost.

/** Somebody who signs in with a password. */
export interface AccountShape {
  name: string;
  role: "viewer" | "responder" | "admin";
  made: string;
}

/** A button of the room. `asks`: pressing it asks for more, it does not act. */
export interface Act {
  do: string;
  label: string;
  key: string;
  main: boolean;
  asks: boolean;
}

/** A call of a registered action. `until`: up to when its approval is waited for; `trial`: a dry run. */
export interface ActionCall {
  key: string;
  name: string;
  means: "command" | "webhook";
  state: string;
  why: string;
  by: string | null;
  trial: boolean;
  detail: string;
  /** RFC 3339, UTC, milliseconds */
  planned_at: string;
  until: string | null;
}

/** What happens after a payment: a figure as it is written, that of last week, and its trend. */
export interface After {
  name: string;
  figure: string;
  before: string;
  trend: (number | null)[];
  note: string;
}

/** Alerts, the latest first. `next`: what to ask `before` for the ones before these, null where there are no more. */
export interface Alerts {
  alerts: PlacedAlert[];
  next: string | null;
  /** whether the alerts topic is followed now; otherwise there may be newer ones */
  followed: boolean;
}

/** Where SQL is asked. */
export interface AnalystPage {
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  sentence: (string | number)[];
  why: (string | number)[];
  /** up to when what it shows is known to hold what happened */
  as_of: number | null;
  now: number;
  tables: SqlTable[];
  saved: SavedQuery[];
}

/** What came of it. `done`: null where no notifier answered in time: it was asked and will be done once one leads. */
export interface Answered {
  done: boolean | null;
  text: string;
  incident: IncidentRow | null;
}

/** Failed payments beyond what is usual, and their sum by currency in minor units. */
export interface AtRisk {
  failed_payments: number;
  amounts: Record<string, number>;
}

/** The latest first. */
export interface AuditLog {
  entries: Audited[];
  /** `before` of the next page; null where there is none */
  next: string | null;
}

/** Something that was done, or was not. */
export interface Audited {
  at: string;
  who: string;
  role: string;
  how: string;
  action: string;
  object: string;
  outcome: string;
  /** the address that it came from */
  origin: string;
}

/** An alert about security: the arithmetic, and who did most of it. */
export interface Case {
  rule: string;
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  summary: string;
  since: number;
  group: Record<string, string>;
  value: number | null;
  threshold: number | null;
  window_s: number;
  actors: [string, number][];
  total: number;
  over: boolean;
}

/** What was released or configured. `before_s`: so long before the first bad event; negative: after it. */
export interface ChangeBefore {
  /** RFC 3339, UTC, milliseconds */
  at: string;
  kind: string;
  component: string;
  text: string;
  before_s: number;
}

/** What was looked at. `age_s`: of the newest evidence, null where there is none. */
export interface Check {
  name: string;
  state: "healthy" | "degraded" | "unhealthy" | "unknown";
  age_s: number | null;
  detail: string;
}

/** The items of a day, a week or a month. */
export interface ChecklistTold {
  kind: "daily" | "weekly" | "monthly";
  title: string;
  name: string;
  items: ItemTold[];
  done: number;
}

/** All three. `zone`: whose days these are. */
export interface Checklists {
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  sentence: (string | number)[];
  why: (string | number)[];
  /** up to when what it shows is known to hold what happened */
  as_of: number | null;
  now: number;
  zone: string;
  lists: ChecklistTold[];
}

/** How fast it went, from the first bad event on; null what did not happen yet. */
export interface Clocks {
  /** RFC 3339, UTC, milliseconds */
  first_bad_at: string;
  detected_after_s: number | null;
  paged_after_s: number | null;
  acknowledged_after_s: number | null;
  mitigated_after_s: number | null;
  resolved_after_s: number | null;
}

/** A column of an answer and its DuckDB type. */
export interface Column {
  name: string;
  type: string;
}

/** A line of compliance. `share`: of what was looked at; null where nothing was. */
export interface Compliance {
  area: string;
  name: string;
  passed: number | null;
  total: number | null;
  share: number | null;
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  word: string;
  last: number | null;
}

/** What is probed. `checked_s`: how old the latest probe is; uptime: 0 to 1, of the probes of 24 hours and 30 days. */
export interface Component {
  name: string;
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  word: string;
  note: string;
  checked_s: number | null;
  trend: (number | null)[];
  p95_ms: number | null;
  errors: number | null;
  day: number | null;
  month: number | null;
}

/** How many incidents (or judgements) each figure rests on. */
export interface Counts {
  mttd_s: number;
  mtta_s: number;
  mttr_s: number;
  alert_accuracy: number;
  false_positive_rate: number;
  response_time_compliance: number;
  incident_resolution_rate: number;
}

/** A time in which nobody is on call. */
export interface CoverGap {
  team: string;
  level: "primary" | "secondary" | "lead" | "executive";
  /** RFC 3339, UTC, milliseconds */
  start: string;
  /** RFC 3339, UTC, milliseconds */
  end: string;
}

/** A service outside, by our calls to it in the last 5 minutes. */
export interface Dependency {
  name: string;
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  calls: number;
  failed: number | null;
  p95_s: number | null;
}

/** Errors of a window. `error_rate`: of the requests served. */
export interface ErrorFigures {
  targets: Record<string, Target>;
  window: Span;
  /** up to when the figures are known to hold what happened */
  as_of: string | null;
  stale: boolean;
  error_rate: number | null;
  error_count: number;
  error_categories: Record<string, number>;
  critical_errors: number;
  resolved_errors: number;
}

/** What its worst alert rested on when it began. */
export interface EvidenceAtOnset {
  alert: string;
  rule: string;
  pack: string;
  rule_version: string;
  /** what the rule says in a sentence, where it is in force as it was */
  means: string | null;
  summary: string;
  group: Record<string, unknown>;
  value: number | null;
  threshold: number | null;
  unit: string;
  window: Span;
  first_bad_at: string | null;
  /** RFC 3339, UTC, milliseconds */
  detected_at: string;
  slip: Slip;
  slices: SliceShare[];
  /** over which whole buckets the slices are counted */
  counted: Span | null;
  samples: string[];
  sources: Source[];
  chart: FrozenChart | null;
}

/** Why payments failed, or were declined. `before`: about how many there were last week. */
export interface FailureReason {
  reason: string;
  fault: string;
  count: number;
  share: number;
  before: number | null;
}

/** Errors of one component: by the hour of the last 24, of the last hour, and how many of these were critical. */
export interface Faults {
  component: string;
  hours: (number | null)[];
  hour: number;
  critical: number;
}

/** A signal over the period and over the one before; null where nothing is known. */
export interface Figure {
  signal: string;
  title: string;
  unit: "ratio" | "percent" | "s" | "count" | "minor";
  value: number | null;
  before: number | null;
  target: Target | null;
}

/**
 * The signal around the onset, in buckets that begin at `start` and are `step_s` wide; null where there is nothing to tell.
 * `usual`: the range of the half hour before. `limited`: each point can be held against the threshold. `final`: it will not
 * change any more.
 */
export interface FrozenChart {
  title: string;
  unit: string;
  step_s: number;
  /** RFC 3339, UTC, milliseconds */
  start: string;
  points: (number | null)[];
  counts: number[];
  usual: [number, number] | null;
  limited: boolean;
  final: boolean;
}

/** A figure, and what it is a warning above, and critical. `of`: the worst of its kind, where there are several. */
export interface Gauge {
  value: number | null;
  unit: "s" | "ratio" | "1/s";
  warning: number | null;
  critical: number | null;
  state: "ok" | "warning" | "critical" | "unknown";
  of: string | null;
}

export interface HTTPValidationError {
  detail: ValidationError[];
}

/** Something that charts mark. */
export interface Happened {
  at: number;
  kind: "deploy" | "incident" | "config";
  label: string;
}

/** What happened in the worst of the incidents that are open. `at` in epoch ms. */
export interface HappenedBrief {
  at: number;
  kind: string;
  text: string;
}

/** The verdict, and what it rests on. A boolean is true only on evidence younger than 60 s. */
export interface Health {
  overall_health: "healthy" | "degraded" | "unhealthy";
  api_connectivity: boolean;
  database_connectivity: boolean;
  webhook_processing: boolean;
  payment_system: boolean;
  /** mean of the last minute, in ms */
  response_time: number | null;
  /** 0 to 100: health checks of the last 24 hours that found it up */
  uptime_percentage: number | null;
  checks: Check[];
  as_of: string | null;
}

/** Provider × method. */
export interface Heat {
  methods: string[];
  rows: HeatRow[];
  /** what usual is, in words */
  against: string;
}

/**
 * Success of one provider and method. `below`: points below what is usual there, null where that is not known; `share`
 * null: no data now, though there was.
 */
export interface HeatCell {
  share: number | null;
  below: number | null;
  count: number;
}

/** One provider; a cell is null where the method is not offered. */
export interface HeatRow {
  provider: string;
  cells: (HeatCell | null)[];
}

/** A machine. */
export interface Host {
  name: string;
  loads: Record<string, Load>;
}

/** An incident in half a line. Times in epoch ms; `lasted_s`: to its end, or to now. */
export interface IncidentBrief {
  number: number;
  title: string;
  level: string;
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  status: string;
  since: number;
  lasted_s: number;
  who: string | null;
}

/** One incident, as it was when the report was made. */
export interface IncidentLine {
  number: number;
  title: string;
  level: string;
  status: string;
  /** RFC 3339, UTC, milliseconds */
  since: string;
  /** RFC 3339, UTC, milliseconds */
  opened: string;
  acknowledged: string | null;
  resolved: string | null;
  failed_payments: number | null;
  at_risk: Record<string, number>;
  assignee: string | null;
  rules: string[];
}

/**
 * An incident in a line. `state`: how bad it is now, `ok` once it is over. `lasted_s`: from its first bad event to its
 * end, or to now.
 */
export interface IncidentRow {
  id: string;
  /** the short number that people say */
  number: number;
  version: number;
  /** what the worst of its alerts said when it began */
  title: string;
  severity: "critical" | "high" | "medium" | "low";
  level: "P0" | "P1" | "P2" | "P3";
  status: "triggered" | "acknowledged" | "investigating" | "mitigated" | "resolved" | "reviewed";
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  /** RFC 3339, UTC, milliseconds */
  since: string;
  /** RFC 3339, UTC, milliseconds */
  opened_at: string;
  acknowledged_at: string | null;
  mitigated_at: string | null;
  resolved_at: string | null;
  reviewed_at: string | null;
  lasted_s: number;
  team: string;
  assignee: string | null;
  /** the level that was asked last, null while nobody was */
  escalation: "primary" | "secondary" | "lead" | "executive" | null;
  components: string[];
  providers: string[];
  rules: string[];
  alerts: number;
  active_alerts: number;
  impact: AtRisk | null;
  published: boolean;
}

/** Incidents, the latest first. `next`: what to ask `before` for the ones before these, null where there are no more. */
export interface Incidents {
  incidents: IncidentRow[];
  next: number | null;
  /** how many are open, whatever was asked for */
  open: number;
  /** whether changes are known within moments; otherwise there may be newer ones */
  followed: boolean;
}

/** The page of incidents. */
export interface IncidentsPage {
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  sentence: (string | number)[];
  why: (string | number)[];
  /** up to when what it shows is known to hold what happened */
  as_of: number | null;
  now: number;
  open: IncidentRow[];
  last: IncidentRow[];
  next: number | null;
  tiles: Tile[];
  figures: OperationsFigures;
  /** the filter */
  asked: Record<string, string>;
  followed: boolean;
}

/** The addresses where other systems plug in; null where there is none. */
export interface Integration {
  metrics_endpoint: string;
  log_aggregation: string;
  alert_webhook: string | null;
  dashboard_url: string;
  incident_api: string | null;
}

/**
 * An item. `done`: all is well, by Tillwatch itself (`by` is tillwatch) or by a person; `attention`: Tillwatch found that
 * it is not; `open`: nobody has said.
 */
export interface ItemTold {
  key: string;
  title: string;
  why: string;
  state: "done" | "attention" | "open";
  by: string | null;
  at: string | null;
  note: string;
  evidence: string;
  evidence_age_s: number | null;
  /** whether Tillwatch looks itself */
  automatic: boolean;
}

/** A report that was written. `name`: its period, as in `2026-11-29`, `2026-W48` or `2026-11`. */
export interface KeptReport {
  kind: "daily" | "weekly" | "monthly";
  name: string;
  title: string;
  file: string;
  /** RFC 3339, UTC, milliseconds */
  made_at: string;
}

/** Those that the data folder of this console has, the latest first: a notifier elsewhere writes into its own. */
export interface KeptReports {
  reports: KeptReport[];
}

/** A label and its value, as they are written. */
export interface Line {
  label: string;
  value: string;
}

/** Lines over time. Each value is of `step` ms, the first of which end at `ends` (epoch ms); null: nothing is known. */
export interface Lines {
  ends: number;
  step: number;
  lines: Record<string, (number | null)[]>;
  /** the lower edge of what is usual */
  low: (number | null)[] | null;
  high: (number | null)[] | null;
}

/** A payment as its last event left it. `place`: what its events are asked for by. */
export interface LivePayment {
  place: string;
  /** the end of its transaction id */
  id: string;
  at: number;
  /** initiated, redirected, succeeded, failed or refunded */
  state: string;
  provider: string;
  method: string;
  /** minor units of the currency */
  amount: number;
  currency: string;
  latency_s: number | null;
  fault: string | null;
  reason: string | null;
}

/**
 * Payments as they happen. Rates are a minute, of the last five; `unfinished`: begun in the last 15 minutes and not
 * finished so far, which some never do. `away`: why the last payments cannot be followed, null while they are. `skipped`:
 * events left out since there are too many to show.
 */
export interface LivePayments {
  initiated: number | null;
  succeeded: number | null;
  failed: number | null;
  unfinished: number | null;
  payments: LivePayment[];
  skipped: number;
  away: string | null;
  now: number;
  as_of: number | null;
}

/** A resource of a machine in percent. Limits are null where it has none. */
export interface Load {
  value: number | null;
  warning: number | null;
  critical: number | null;
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
}

/** Who asks. */
export interface Me {
  name: string;
  role: "viewer" | "responder" | "admin";
  /** anonymous, password, oidc, link, token (the installation's) or api_token */
  how: string;
  signed_in: boolean;
}

/** A mean time in seconds, of so many incidents; null of none. */
export interface Mean {
  seconds: number | null;
  of: number;
}

/** An alert of the incident, as it was last told. `pages`: people hear of it while it goes on. */
export interface MemberAlert {
  rule: string;
  pack: string;
  severity: "critical" | "high" | "medium" | "low";
  active: boolean;
  pages: boolean;
  group: Record<string, unknown>;
  summary: string;
  arithmetic: string;
  slice: string;
  judgement: "right" | "wrong" | null;
}

/** A silence, or a planned maintenance window. It begins now unless said, and ends at `end` or after `lasts_s`. */
export interface NewSilence {
  kind?: "silence" | "maintenance";
  matchers: string[];
  reason: string;
  start?: string | null;
  end?: string | null;
  lasts_s?: number | null;
}

/** What time alone will do. `asks`: the level that is asked then, null where the incident counts as unanswered again. */
export interface NextStep {
  /** RFC 3339, UTC, milliseconds */
  at: string;
  asks: "primary" | "secondary" | "lead" | "executive" | null;
}

/** A part of a text: an element with its children, or a text. */
export interface Node {
  tag: string;
  text: string;
  href: string | null;
  children: Node[];
}

/** Who is on call now, by team and level, and the gaps of the next 28 days. */
export interface OnCall {
  now: OnDuty[];
  gaps: CoverGap[];
  /** RFC 3339, UTC, milliseconds */
  as_of: string;
  zone: string;
  /** what is not as it should be: no file, a calendar that cannot be read */
  notes: string[];
}

/** Who is asked, and until when; nobody where `people` is empty. */
export interface OnDuty {
  team: string;
  name: string;
  level: "primary" | "secondary" | "lead" | "executive";
  people: string[];
  keys: string[];
  until: string | null;
  next: string[];
}

/**
 * How incidents went that were opened in the period.
 * mttd: from the first bad event until its alert told it; mtta: from the opening until somebody took it; mttr: until it was
 * over.
 */
export interface Operations {
  opened: number;
  open_now: number;
  by_level: Record<string, number>;
  mttd: Mean;
  mtta: Mean;
  mttr: Mean;
  /** over, and nobody had taken them */
  never_taken: number;
}

/**
 * How incidents are handled: those that opened in the window and that people were told of. Means in seconds, rates as
 * fractions; null where there is nothing to judge.
 */
export interface OperationsFigures {
  /** first bad event to its detection */
  mttd_s: number | null;
  /** opened to acknowledged */
  mtta_s: number | null;
  /** opened to resolved */
  mttr_s: number | null;
  /** of the alerts that people judged, those that were right */
  alert_accuracy: number | null;
  /** of the alerts that people judged, those that were wrong */
  false_positive_rate: number | null;
  /** answered within the time of their severity */
  response_time_compliance: number | null;
  /** of all that opened, those that are resolved */
  incident_resolution_rate: number | null;
  counts: Counts;
  window: Span;
  /** RFC 3339, UTC, milliseconds */
  as_of: string;
  stale: boolean;
}

/** What the first page shows. `success`: by the minute, the last of which ends at `minutes_end`. */
export interface Overview {
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  sentence: (string | number)[];
  why: (string | number)[];
  /** up to when what it shows is known to hold what happened */
  as_of: number | null;
  now: number;
  tiles: Tile[];
  success: (number | null)[];
  minutes_end: number;
  providers: Provider[];
  alerts: Story[];
  pipeline: Station[];
  /** those that are open, the worst first, then the last ones */
  incidents: IncidentBrief[];
  /** so far in the first of them, while it is open; the latest first */
  happened: HappenedBrief[];
}

/** An event of one transaction. */
export interface PaymentEvent {
  at: number;
  type: string;
  source: string;
  id: string;
  told: Record<string, string | number | boolean>;
  partition: string;
  offset: number;
}

/** Payments of a window. Failures are those of technical or unknown fault, declines those of business. */
export interface PaymentFigures {
  targets: Record<string, Target>;
  window: Span;
  /** up to when the figures are known to hold what happened */
  as_of: string | null;
  stale: boolean;
  success_rate: number | null;
  /** seconds */
  average_latency: number | null;
  failure_rate: number | null;
  decline_rate: number | null;
  /** payments that finished in the last 24 hours */
  daily_volume: number;
  /** succeeded of those that were begun in the window */
  conversion_rate: number | null;
  /** minor units by currency */
  revenue: Record<string, number>;
}

/**
 * What the page of payments shows. Lines are by `step` ms from `start` to `end`; `now_start` to `now_end` is what the tiles
 * and the map are of.
 */
export interface PaymentsPage {
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  sentence: (string | number)[];
  why: (string | number)[];
  /** up to when what it shows is known to hold what happened */
  as_of: number | null;
  now: number;
  start: number;
  end: number;
  step: number;
  live: boolean;
  now_start: number;
  now_end: number;
  /** the time that states and the figures of providers are of, in words */
  judged: string;
  tiles: Tile[];
  success: Lines;
  volume: Lines;
  latency: Lines;
  providers: ProviderLine[];
  others: number;
  heat: Heat;
  funnel: Stage[];
  leaving: string;
  reasons: FailureReason[];
  failed: number;
  finished: number;
  revenue: Taken[];
  after: After[];
  marks: Happened[];
  planned: Stretch[];
  unknown: Stretch[];
  /** false where nothing could be read yet: then nothing here is a zero */
  known: boolean;
}

/** How fast and how loaded: means over the window; of cpu, memory and disk the mean of the most loaded host. */
export interface PerformanceFigures {
  targets: Record<string, Target>;
  window: Span;
  /** up to when the figures are known to hold what happened */
  as_of: string | null;
  stale: boolean;
  response_time: Gauge;
  throughput: Gauge;
  cpu: Gauge;
  memory: Gauge;
  disk: Gauge;
  database_query_time: Gauge;
  network_latency: Gauge;
}

/** How far the numbers are, from the producers to the page. */
export interface PipelinePage {
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  sentence: (string | number)[];
  why: (string | number)[];
  /** up to when what it shows is known to hold what happened */
  as_of: number | null;
  now: number;
  tiles: Tile[];
  stations: Station[];
  events: Lines;
  refused: Lines;
  workers: Worker[];
  topics: TopicLag[];
  sources: SourceSeen[];
  /** records in dead letters, by reason, in the window */
  letters: Record<string, number>;
  /** what was counted beside: repeats, unknown fields, extensions, overflows */
  drift: Record<string, number>;
  /** of the last alerts: from the first bad event until it was told, in seconds */
  detected_s: number[];
}

/** An alert event (schemas/generated/tillwatch.alert.json) at its place, which is null in a list of what fires. */
export interface PlacedAlert {
  place: string | null;
  event: Record<string, unknown>;
}

/** A maintenance window ahead, or now. */
export interface PlannedWork {
  /** RFC 3339, UTC, milliseconds */
  start: string;
  /** RFC 3339, UTC, milliseconds */
  end: string;
  text: string;
}

/** An error (RFC 9457). `detail` says what to do. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
}

/** The last 5 minutes of one provider, as they are written. */
export interface Provider {
  name: string;
  success: string;
  latency: string;
  per_minute: string;
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
}

/** One provider: its success over time with what is usual, and how it is now. */
export interface ProviderLine {
  name: string;
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  figure: string;
  note: string;
  values: (number | null)[];
  low: (number | null)[] | null;
  high: (number | null)[] | null;
}

/** What went through one provider. */
export interface ProviderPart {
  provider: string;
  payments: number;
  success_rate: number | null;
  success_before: number | null;
  /** of technical or unknown fault */
  failed: number;
  declined: number;
  /** seconds */
  average_latency: number | null;
}

/** What was said, and when. */
export interface PublicNote {
  /** RFC 3339, UTC, milliseconds */
  at: string;
  text: string;
}

/**
 * A service now and in the last 90 days. `days`: the oldest first: empty no trouble, p slow or partly down, f down, n not
 * measured; `working`: of all that was tried in these days, the share that did not fail by a fault.
 */
export interface PublicService {
  name: string;
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  word: string;
  days: ("" | "p" | "f" | "n")[];
  working: number | null;
}

/** What customers were told. */
export interface PublicUpdate {
  /** RFC 3339, UTC, milliseconds */
  at: string;
  text: string;
  felt: "failing" | "degraded" | "ok";
  title: string;
  services: string[];
  next_at: string | null;
  author: string;
}

/** Why payments failed. `fault`: technical, business, fraud or unknown. */
export interface Reason {
  reason: string;
  fault: string;
  count: number;
  /** of all that failed */
  share: number;
}

/** A report. `stale`: newer events of the period may have happened that are not in it. `remarks`: what is held in part. */
export interface Report {
  kind: "daily" | "weekly" | "monthly";
  name: string;
  title: string;
  zone: string;
  period: Span;
  before: Span;
  /** RFC 3339, UTC, milliseconds */
  made_at: string;
  as_of: string | null;
  /** whether the period had ended */
  over: boolean;
  stale: boolean;
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  sentence: string;
  why: string;
  remarks: string[];
  payments: Figure[];
  revenue: Revenue[];
  steps: Step[];
  providers: ProviderPart[];
  reasons: Reason[];
  operations: Operations;
  operations_before: Operations | null;
  incidents: IncidentLine[];
  incidents_more: number;
  rules: RuleNoise[];
  system: Figure[];
  review: string[];
}

/** Of succeeded payments, in minor units. */
export interface Revenue {
  currency: string;
  amount: number;
  before: number | null;
}

/** The page of one incident. */
export interface Room {
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  sentence: (string | number)[];
  why: (string | number)[];
  /** up to when what it shows is known to hold what happened */
  as_of: number | null;
  now: number;
  /** whether who asks may act */
  may: boolean;
  me: string;
  acts: Act[];
  /** to whom it can be handed */
  people: string[];
  /** what the status page calls its services */
  services: string[];
  incident: WholeIncident;
}

/** Rows of a table: `bucket`, the dimensions asked for, `count`, and of each measure sum, min, max and percentiles. */
export interface Rows {
  table: string;
  resolution: string;
  from: string;
  to: string;
  by: string[];
  rows: Record<string, unknown>[];
}

/**
 * What the last alert events tell of a rule: how often it fired, how often that paged nobody or was taken back, how often
 * it was over within 2 minutes, how long it took (median, seconds), when it fired last (epoch ms), and how often and how long
 * (seconds, of what is over) there were no data to judge.
 */
export interface RuleHistory {
  episodes: number;
  explained: number;
  withdrawn: number;
  brief: number;
  median_s: number | null;
  last: number | null;
  no_data: number;
  no_data_s: number;
}

/** A rule, what it means in a sentence, and how it stands: the gravest state of its groups, `ok` or `unknown`. */
export interface RuleInForce {
  pack: string;
  rule: string;
  version: string;
  severity: string;
  level: string;
  condition: string;
  explanation: string;
  resolves: string;
  by: string[];
  channels: string[];
  owner: string | null;
  runbook: string | null;
  enabled: boolean;
  state: string;
  states: RuleState[];
}

/**
 * A rule in force with its history (of the last 2,000 alert events, from `history_since` on) and its record; null where
 * there is none.
 */
export interface RuleInFull {
  rule: RuleInForce;
  history: RuleHistory | null;
  history_since: string | null;
  record: RuleRecord | null;
  /** every incident that opened from then on is known */
  record_since: string | null;
  /** whether there are no newer incidents than the record knows of */
  followed: boolean;
  as_of: string | null;
  stale: boolean;
}

/** What a rule made people look at. `unattended`: incidents that were over before anybody took them. */
export interface RuleNoise {
  rule: string;
  incidents: number;
  alerts: number;
  unattended: number;
  noisy: boolean;
}

/** What the incidents tell of a rule. `daily`: how many opened in each 24 hours, the last of which end now. */
export interface RuleRecord {
  /** of the last 30 days */
  month: RuleScore;
  /** of the last 90 days */
  quarter: RuleScore;
  daily: number[];
  /** the numbers of the last ones, the latest first */
  latest: number[];
}

/**
 * What the incidents tell of the rules, by `pack/rule`; of a rule that had part in none there is nothing. `since`: every
 * incident that opened from then on is known (epoch ms); null while none is known of at all. `followed`: none is newer.
 */
export interface RuleRecords {
  rules: Record<string, RuleRecord>;
  since: number | null;
  followed: boolean;
}

/**
 * What came of the incidents of a window that a rule had a part in and that people were told of; medians in seconds, null
 * where there is nothing to judge.
 */
export interface RuleScore {
  incidents: number;
  /** somebody acknowledged them */
  taken: number;
  over: number;
  /** of those that are over: within ten minutes, and nobody had done anything */
  by_itself: number;
  /** fired again after they had ended by themselves */
  again: number;
  /** people judged that somebody had to see to it */
  right: number;
  /** people judged that it was a false alarm */
  wrong: number;
  /** right of all that were judged */
  precision: number | null;
  /** on how many `detect_s` rests: those whose alert was this rule's */
  detected: number;
  /** from the first bad event to its detection */
  detect_s: number | null;
  /** from the first bad event to the end, of those that are over */
  lasted_s: number | null;
}

/** How a rule stands in one group, where that is not well. */
export interface RuleState {
  group: Record<string, unknown>;
  /** firing, no_data, behind, unknown, learning or pending */
  state: string;
  since: string | null;
}

/** The rules in force. */
export interface Rules {
  rules: RuleInForce[];
  as_of: string | null;
  stale: boolean;
}

/** Every rule, the gravest first. `since`: the time of the earliest alert that the history is made of. */
export interface RulesPage {
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  sentence: (string | number)[];
  why: (string | number)[];
  /** up to when what it shows is known to hold what happened */
  as_of: number | null;
  now: number;
  tiles: Tile[];
  rules: RuleInForce[];
  marks: Record<string, "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint">;
  history: Record<string, RuleHistory>;
  since: number | null;
  records: RuleRecords;
  problems: string[];
}

/** What to do. `url`: where it is, where it is not ours; then it has no text. */
export interface Runbook {
  name: string;
  title: string;
  url: string | null;
  text: string;
  nodes: Node[];
}

/** A statement that somebody gave a name. */
export interface SavedQuery {
  name: string;
  sql: string;
  by: string;
  /** RFC 3339, UTC, milliseconds */
  at: string;
}

/** Security events of a window. */
export interface SecurityFigures {
  targets: Record<string, Target>;
  window: Span;
  /** up to when the figures are known to hold what happened */
  as_of: string | null;
  stale: boolean;
  authentication_failures: number;
  authorization_violations: number;
  webhook_security_violations: number;
  suspicious_activities: number;
  blocked_requests: number;
  security_incidents: number;
}

/** What the page of security shows. */
export interface SecurityPage {
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  sentence: (string | number)[];
  why: (string | number)[];
  /** up to when what it shows is known to hold what happened */
  as_of: number | null;
  now: number;
  start: number;
  end: number;
  bar: number;
  live: boolean;
  tiles: Tile[];
  kinds: Seen[];
  cases: Case[];
  signatures: Signatures[];
  under_way: UnderWay[];
  compliance: Compliance[];
  known: boolean;
}

/** A kind of event. `bars`: each the most within `window_s` where a limit is known, else how many; null: not known. */
export interface Seen {
  name: string;
  /** as the rules about it stand; null where no rule is about it */
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint" | null;
  rule: string | null;
  limit: number | null;
  window_s: number | null;
  bars: (number | null)[];
  recent: number | null;
  total: number | null;
  /** about so many in the same time last week */
  before: number | null;
  last: number | null;
}

/** A signal in one group: `{}` is all of it. */
export interface SignalGroup {
  group: Record<string, string | number | boolean | null>;
  /** in the unit; null where there is nothing to judge */
  value: number | null;
}

/**
 * A signal. `state`: the gravest of the rules that compare it, `missed` where only its target is, `unknown` where nothing
 * is known of either. `age_s`: of the newest event in its table.
 */
export interface SignalNow {
  signal: string;
  title: string;
  unit: "ratio" | "percent" | "s" | "count" | "minor";
  window: Span;
  values: SignalGroup[];
  groups_more: number;
  target: Target | null;
  state: string;
  rules: string[];
  age_s: number | null;
}

/** All signals. `stale`: newer events may have happened that are not in them. */
export interface Signals {
  signals: SignalNow[];
  as_of: string | null;
  stale: boolean;
}

/** Webhooks of one provider. */
export interface Signatures {
  provider: string;
  received: number;
  invalid: number;
  /** for another reason */
  refused: number;
  last: number | null;
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
}

/** What came of it; see Answered. */
export interface SilenceAnswered {
  done: boolean | null;
  text: string;
  silence: SilenceRow | null;
}

/** Alerts that match all of the matchers page nobody between start and end. */
export interface SilenceRow {
  id: string;
  kind: "silence" | "maintenance";
  matchers: string[];
  /** RFC 3339, UTC, milliseconds */
  start: string;
  /** RFC 3339, UTC, milliseconds */
  end: string;
  author: string;
  reason: string;
  phase: "waiting" | "active" | "over";
}

/** Silences and maintenance windows, those that are not over first. */
export interface Silences {
  silences: SilenceRow[];
  followed: boolean;
}

/** An earlier incident that is like this one. `why`: in what. */
export interface Similar {
  id: string;
  number: number;
  title: string;
  /** RFC 3339, UTC, milliseconds */
  opened_at: string;
  lasted_s: number | null;
  why: string;
  ended_by: string;
}

/**
 * A part of what was judged. `share`: of what was wrong; `wrong` of `all`: events in the window, null where not known
 * or, of what is counted, not to be told apart.
 */
export interface SliceShare {
  dimensions: Record<string, unknown>;
  share: number;
  wrong: number | null;
  all: number | null;
}

/** The arithmetic that decided. `decision`: the comparison in words. */
export interface Slip {
  lines: Line[];
  decision: string;
  words: string;
}

/** Records that the verdict rests on; both offsets belong to it. */
export interface Source {
  topic: string;
  partition: number;
  from: number;
  to: number;
}

/** Events of one source: in the window, by the minute, and when the last of them came (age of its 10 s, seconds). */
export interface SourceSeen {
  source: string;
  events: number;
  per_minute: (number | null)[];
  age_s: number | null;
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
}

/** What was added up: from `start` (inclusive) to `end` (exclusive), in event time. */
export interface Span {
  /** RFC 3339, UTC, milliseconds */
  start: string;
  /** RFC 3339, UTC, milliseconds */
  end: string;
}

/** A table that SQL can name, its columns and their types, and how long its rows are kept (seconds). */
export interface SqlTable {
  name: string;
  kept_s: number;
  columns: Column[];
}

/** A stage of the way to a course: how many came so far, as a share of those that started, and of the stage before. */
export interface Stage {
  name: string;
  count: number | null;
  share: number | null;
  of_before: number | null;
  usual: number | null;
}

/** A part of the pipeline. */
export interface Station {
  name: string;
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  lines: string[];
}

/** How things are, for customers. */
export interface StatusPage {
  name: string;
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  sentence: string;
  why: string;
  since: string | null;
  next_at: string | null;
  updates: PublicNote[];
  services: PublicService[];
  planned: PlannedWork[];
  earlier: PublicNote[];
  as_of: string | null;
}

/** An hour of a day, six hours of a week, a day of a month. Null: nothing is known of it. */
export interface Step {
  /** RFC 3339, UTC, milliseconds */
  start: string;
  payments: number | null;
  success_rate: number | null;
  /** seconds */
  p95_latency: number | null;
}

/** An alert that fires. `held_back`: another one says it already. */
export interface Story {
  rule: string;
  level: string;
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  summary: string;
  since: number;
  held_back: boolean;
}

/** A time of which a chart says something. Epoch ms. */
export interface Stretch {
  start: number;
  end: number;
  label: string;
}

/** What the page of system health shows. `health`: what /api/health answers. */
export interface SystemPage {
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  sentence: (string | number)[];
  why: (string | number)[];
  /** up to when what it shows is known to hold what happened */
  as_of: number | null;
  now: number;
  live: boolean;
  start: number;
  end: number;
  step: number;
  tiles: Tile[];
  components: Component[];
  health: Health;
  dependencies: Dependency[];
  hosts: Host[];
  /** p95, in ms */
  latency: Lines;
  /** share of requests, queries and calls that failed */
  failing: Lines;
  faults: Faults[];
  /** errors of the last 24 hours by category */
  categories: Record<string, number>;
  known: boolean;
}

/** What a SELECT answers: columns, and rows as arrays. */
export interface Table {
  columns: Column[];
  rows: unknown[][];
}

/** Revenue in one currency, in minor units. */
export interface Taken {
  currency: string;
  taken: number;
  payments: number;
  mean: number | null;
  before: number | null;
  trend: (number | null)[];
}

/** What a figure should be above, or below; `met` is null where there is no figure. */
export interface Target {
  above: number | null;
  below: number | null;
  met: boolean | null;
}

/** A figure as it is written, what it is compared with, and its trend; `before`: that of the same time a week ago. */
export interface Tile {
  name: string;
  figure: string;
  unit: string;
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  note: string;
  trend: (number | null)[];
  before: (number | null)[] | null;
}

/** What happened. `by_person`: it is somebody's word. */
export interface TimelineEntry {
  /** RFC 3339, UTC, milliseconds */
  at: string;
  kind: "opened" | "reopened" | "resolved" | "reviewed" | "triggered" | "acknowledged" | "investigating" | "mitigated" | "escalated" | "severity" | "assigned" | "published" | "judged" | "alerted" | "silenced" | "noted" | "impact" | "action" | "paged" | "undelivered" | "delivered";
  text: string;
  author: string;
  by_person: boolean;
}

/** An API token, without what opens anything. */
export interface TokenShape {
  id: string;
  name: string;
  role: "viewer" | "responder" | "admin";
  /** beginnings of the paths that it opens; none: all */
  only: string[];
  by: string;
  made: string;
  expires: string;
}

/** The partitions of one event topic together. */
export interface TopicLag {
  topic: string;
  partitions: number;
  read: number;
  lag: number;
  watermark_s: number | null;
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
}

/**
 * All events of one transaction that were found. `whole`: its beginning was found, or the topics were read to
 * their beginnings; otherwise earlier ones may exist, since only the `looked_at` latest records, back to `back_to`, were.
 */
export interface TransactionEvents {
  transaction: string;
  events: PaymentEvent[];
  whole: boolean;
  looked_at: number;
  back_to: number | null;
}

/** An incident about security. */
export interface UnderWay {
  number: number;
  id: string;
  title: string;
  status: string;
  level: string;
  owner: string | null;
  since: number;
  acknowledged: number | null;
  resolved: number | null;
  open: boolean;
}

export interface ValidationError {
  loc: (string | number)[];
  msg: string;
  type: string;
  input: unknown;
  ctx: Record<string, unknown>;
}

/** All that is known of an incident. The timeline, the changes and what is similar come latest first. */
export interface WholeIncident {
  id: string;
  /** the short number that people say */
  number: number;
  version: number;
  /** what the worst of its alerts said when it began */
  title: string;
  severity: "critical" | "high" | "medium" | "low";
  level: "P0" | "P1" | "P2" | "P3";
  status: "triggered" | "acknowledged" | "investigating" | "mitigated" | "resolved" | "reviewed";
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  /** RFC 3339, UTC, milliseconds */
  since: string;
  /** RFC 3339, UTC, milliseconds */
  opened_at: string;
  acknowledged_at: string | null;
  mitigated_at: string | null;
  resolved_at: string | null;
  reviewed_at: string | null;
  lasted_s: number;
  team: string;
  assignee: string | null;
  /** the level that was asked last, null while nobody was */
  escalation: "primary" | "secondary" | "lead" | "executive" | null;
  components: string[];
  providers: string[];
  rules: string[];
  alerts: number;
  active_alerts: number;
  impact: AtRisk | null;
  published: boolean;
  clocks: Clocks;
  next_step: NextStep | null;
  triggers: string[];
  timeline: TimelineEntry[];
  timeline_more: number;
  members: MemberAlert[];
  members_more: number;
  changes: ChangeBefore[];
  evidence: EvidenceAtOnset | null;
  similar: Similar[];
  runbook: Runbook | null;
  updates: PublicUpdate[];
  calls: ActionCall[];
}

/** A process of the pipeline. Ages in seconds; lag in records. */
export interface Worker {
  name: string;
  role: string;
  state: "ok" | "degraded" | "failing" | "behind" | "nodata" | "stale" | "maint";
  partitions: number | null;
  lag: number | null;
  flushed_s: number | null;
  detail: string;
}

export interface _Named {
  name: string;
  sql: string;
}

/** What somebody says of an item, for this day, week or month. */
export interface console__checklist_api__Said {
  done?: boolean;
  note?: string;
}

/**
 * What is said with an action. text: the note, the reason; of `assign` the person, of `severity` its name, of `judge` right
 * or wrong, of `publish` what customers are told, of `approve`, `refuse`, `run` and `try` the action. rules: of `judge`, as
 * `pack/rule`; all unless said. The rest: of `publish`.
 */
export interface console__incident_shapes__Said {
  text?: string;
  rules?: string[];
  felt?: "failing" | "degraded" | "ok";
  title?: string;
  services?: string[];
  /** by when customers hear more */
  next_at?: string | null;
}
