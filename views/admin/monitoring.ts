import type { TimeFormat } from '../time.ts'

/** A status: a text, never a colour alone. */
export interface Badge {
  tone: 'good' | 'warn' | 'bad' | 'quiet'
  text: string
}

/** View models of the overview, bulk revocations and the audit log. */
export interface MonitoringModels {
  'admin/overview': {
    counts: CountsView
    upstream: UpstreamView
    attention: AttentionView[]
    /** Connections that need reconnecting: those that were used last. */
    failing: FailingView[]
    /** There are more. */
    failingMore: boolean
    usage: UsageView
  }
  'admin/bulks': { rows: BulkRow[] }
  'admin/bulk': BulkView
  'admin/audit': {
    /** The URL that the filter form leads to. */
    action: string
    filter: AuditFilterView
    /** E-mail addresses that the actor field suggests. */
    actors: string[]
    actions: { value: string; label: string; selected: boolean }[]
    apps: { value: string; label: string; selected: boolean }[]
    rows: AuditRow[]
    newer: string | null
    older: string | null
    /** Where the search stopped before the page was full; there may be more matches beyond. */
    searchedTo: number | null
    /** A filter is active. */
    isFiltered: boolean
    /** The filter, as hidden fields of the export form. */
    fields: { name: string; value: string }[]
    /** How many days events are kept. */
    days: number
  }
}

/** Number of connections by health, and URLs of the matching user lists. */
export interface CountsView {
  connected: string
  healthy: string
  needReconnecting: string
  anyNeedReconnecting: boolean
  connectedHref: string
  healthyHref: string
  needReconnectingHref: string
}

/** Status of Ellipsis Drive itself, separate from the status of connections. */
export interface UpstreamView {
  badge: { tone: 'good' | 'bad' | 'quiet'; text: string }
  failingSince: number | null
  answeredAt: number | null
  /** The last failure, even if Ellipsis Drive has recovered. */
  lastError: string | null
  failedAt: number | null
}

/** Something that needs attention, and a link to where it can be handled. */
export interface AttentionView {
  tone: 'warn' | 'bad' | 'quiet'
  label: string
  text: string
  /** A time shown after the text. */
  at: number | null
  /** Without the base path. */
  path: string | null
  link: string
}

export interface FailingView {
  name: string
  /** Without the base path. */
  path: string
  badge: { tone: 'good' | 'warn' | 'bad' | 'quiet'; text: string }
  reason: string
  lastUsedAt: number | null
}

/** Usage over a period, as charts and as a table. */
export interface UsageView {
  periods: { label: string; href: string; isCurrent: boolean }[]
  /** Such as "the last 24 hours". */
  period: string
  /** What one bar covers, such as "hour". */
  interval: string
  charts: ChartView[]
  /** Labels of the axis of time: of equal parts of it. */
  axis: { format: TimeFormat; starts: number[] }
  /** The table's columns. */
  titles: string[]
  /** The latest first; `counts` as `titles`. */
  rows: { start: number; counts: string[] }[]
}

/** A bar chart; lengths in SVG units, y from the top. */
export interface ChartView {
  id: string
  title: string
  /** The sum of all bars. */
  total: string
  /** A text alternative for screen readers. */
  description: string
  width: number
  height: number
  /** Labels of the axis of counts, from the top; `null`: there is nothing to show. */
  axis: string[] | null
  /** `count` and `start` (ISO 8601) repeat what `label` says, for scripts. */
  bars: ChartBar[]
}

interface ChartBar {
  x: number
  y: number
  width: number
  height: number
  label: string
  count: string
  start: string
}

interface BulkRow {
  path: string
  selection: string
  badge: Badge
  /** The admin who confirmed it, or else requested it. */
  actor: string
  isConfirmed: boolean
  createdAt: number
  progress: string
}

export interface BulkView {
  path: string
  title: string
  status: 'collecting' | 'ready' | 'running' | 'done' | 'cancelled'
  /** The selected connections, in words. */
  selection: string
  /** The admin who confirmed it; before that, who requested it. */
  actor: string
  createdAt: number
  startedAt: number | null
  endedAt: number | null
  /** Formatted, and as numbers for the progress bar. */
  total: string
  totalCount: number
  processedCount: number
  revoked: string
  anyRevoked: boolean
  skipped: string | null
  failed: string | null
  remaining: string
  problem: string | null
  sample: BulkItemView[]
  /** The number of connections that are not in the sample. */
  more: string | null
  failures: (BulkItemView & { error: string })[]
  /** The number of further failures. */
  moreFailures: string | null
  erasurePending: boolean
}

export interface BulkItemView {
  name: string
  path: string
}

interface AuditFilterView {
  actor: string
  connection: string
  /** A day in UTC. */
  from: string
  to: string
}

export interface AuditRow {
  at: number
  actor: string
  text: string
  /** `path` is `null` if the connection was deleted. */
  user: { name: string; path: string | null } | null
  address: string | null
}
