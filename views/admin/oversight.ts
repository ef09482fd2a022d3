/** What the pages for overseeing many are given: overview, bulk revocations, audit log. */
export interface OversightModels {
  'admin/overview': {
    counts: CountsView
    upstream: UpstreamView
    attention: AttentionView[]
    usage: UsageView
  }
  'admin/bulks': { rows: BulkRow[] }
  'admin/bulk': BulkView
  'admin/audit': {
    /** Where the form leads. */
    action: string
    filter: AuditFilterView
    /** Admins and the like that the field for who did it suggests. */
    actors: string[]
    actions: { value: string; words: string; selected: boolean }[]
    apps: { value: string; words: string; selected: boolean }[]
    rows: AuditRow[]
    newer: string | null
    older: string | null
    /** The page isn't full: the search ended here, and there may be more behind it. */
    searchedTo: number | null
    /** A filter leaves some out. */
    narrowed: boolean
    /** What an export of these is to hold. */
    fields: { name: string; value: string }[]
    /** How long events are kept. */
    days: number
  }
}

/** Connections by health, and where those are listed, with the base path. */
export interface CountsView {
  connected: string
  healthy: string
  needReconnecting: string
  /** Are there any that need it? */
  someNeedIt: boolean
  connectedHref: string
  healthyHref: string
  needReconnectingHref: string
}

/** Ellipsis Drive itself, told apart from connections that have ended. */
export interface UpstreamView {
  badge: { tone: 'good' | 'bad' | 'quiet'; words: string }
  failingSince: number | null
  answeredAt: number | null
  /** The last failure, whether or not it is over. */
  lastError: string | null
  failedAt: number | null
}

/** Something to be seen to: what, and where that is done. */
export interface AttentionView {
  tone: 'warn' | 'bad' | 'quiet'
  label: string
  words: string
  /** A time that follows the words. */
  at: number | null
  /** Without the base path. */
  path: string | null
  link: string
}

/** What happened over a period, as charts and as a table. */
export interface UsageView {
  periods: { words: string; href: string; isCurrent: boolean }[]
  /** Such as "the last 24 hours". */
  period: string
  charts: ChartView[]
  rows: { start: number; swaps: string; refreshes: string; failures: string }[]
}

/** A bar chart; lengths in its own units, y from the top. */
export interface ChartView {
  id: string
  title: string
  /** Its sum. */
  total: string
  /** In words, for those who don't see it. */
  words: string
  width: number
  height: number
  bars: { x: number; y: number; width: number; height: number; words: string }[]
}

export interface BulkRow {
  path: string
  selection: string
  status: string
  /** Who confirmed it, or asked for it. */
  actor: string
  isConfirmed: boolean
  createdAt: number
  progress: string
}

export interface BulkView {
  path: string
  title: string
  status: 'collecting' | 'ready' | 'running' | 'done' | 'cancelled'
  /** Who is meant. */
  selection: string
  /** Who confirmed it, once it has begun; before that, who asked for it. */
  actor: string
  createdAt: number
  startedAt: number | null
  endedAt: number | null
  /** Written out, and as numbers for the bar. */
  total: string
  of: number
  done: number
  revoked: string
  anyRevoked: boolean
  skipped: string | null
  failed: string | null
  left: string
  trouble: string | null
  sample: BulkItemView[]
  /** How many there are beyond the sample. */
  more: string | null
  failures: (BulkItemView & { error: string })[]
  /** How many failed beyond these. */
  moreFailures: string | null
  erasurePending: boolean
}

export interface BulkItemView {
  name: string
  path: string
}

export interface AuditFilterView {
  actor: string
  connection: string
  /** A day in UTC. */
  from: string
  to: string
}

export interface AuditRow {
  at: number
  who: string
  words: string
  /** `path` `null`: the connection is gone. */
  user: { name: string; path: string | null } | null
  address: string | null
}
