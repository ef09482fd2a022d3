import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { addApp, authorize, buildBroker, connect, exchange, scrape } from '../helper.ts'
import { connectMany } from '../operate/load.ts'

const root = join(import.meta.dirname, '../..')
const rulesFile = join(root, 'deploy/prometheus/alerts.yml')
const rules = readFileSync(rulesFile, 'utf8')
const dashboardText = readFileSync(join(root, 'deploy/grafana/dashboard.json'), 'utf8')

const missing = spawnSync('promtool', ['--version']).error !== undefined
const options = { skip: missing && 'promtool is not installed' }

/** Series in promtool's notation: values a minute apart, `2+1x3` is 2 3 4 5. */
type Series = Record<string, string>

/** For each alert: series with which it fires at that time, and series with which it does not. */
interface Case {
  at: string
  fires: Series
  silent: Series[]
}

const BACKUP = 'ellipsis_broker_last_backup_timestamp_seconds'
const EXPIRY = 'ellipsis_broker_certificate_expiry_timestamp_seconds'
const FREE = 'ellipsis_broker_disk_free_bytes'
const SIZE = 'ellipsis_broker_database_bytes'
const ACTIVE = 'ellipsis_broker_connections{status="active"}'
const STALE = 'ellipsis_broker_connections{status="needs_reconnect"}'
const connects = (reason: string) => `ellipsis_broker_failed_connects_total{reason="${reason}"}`
const DAY_SECONDS = 86_400

const cases: Record<string, Case> = {
  EllipsisBrokerDown: {
    at: '5m',
    fires: { 'up{job="ellipsis-broker"}': '0x10' },
    // A restart; another job.
    silent: [{ 'up{job="ellipsis-broker"}': '1 1 1 1 0 0' }, { 'up{job="node"}': '0x10' }],
  },
  EllipsisBrokerNotReady: {
    at: '5m',
    fires: { ellipsis_broker_ready: '0x10' },
    silent: [{ ellipsis_broker_ready: '1x10' }, { ellipsis_broker_ready: '0 0 1 1 1 0' }],
  },
  EllipsisBrokerOwnClientRefused: {
    at: '5m',
    fires: { ellipsis_broker_own_client_refused: '1x10' },
    silent: [{ ellipsis_broker_own_client_refused: '0x10' }],
  },
  EllipsisBrokerUpstreamDown: {
    at: '10m',
    fires: { 'ellipsis_broker_breaker{state="open"}': '1x10' },
    silent: [
      { 'ellipsis_broker_breaker{state="open"}': '0 0 0 0 0 0 1 1 1 1 1' },
      { 'ellipsis_broker_breaker{state="closed"}': '1x10' },
    ],
  },
  EllipsisBrokerServerErrors: {
    at: '10m',
    fires: { 'ellipsis_broker_swaps_total{outcome="server_error",app="a"}': '0+1x10' },
    silent: [
      { 'ellipsis_broker_swaps_total{outcome="server_error",app="a"}': '7x10' },
      { 'ellipsis_broker_swaps_total{outcome="ok",app="a"}': '0+100x10' },
    ],
  },
  EllipsisBrokerConnectsFail: {
    at: '15m',
    fires: { [connects('own_client_refused')]: '0+1x15' },
    silent: [
      { [connects('denied')]: '0+10x15', [connects('unknown_flow')]: '0+10x15' },
      { [connects('other')]: '5x15' },
    ],
  },
  EllipsisBrokerManyNeedReconnect: {
    at: '30m',
    fires: { [ACTIVE]: '80x30', [STALE]: '20x30' },
    // A hundred users of whom few are stale; three users of whom one is.
    silent: [
      { [ACTIVE]: '95x30', [STALE]: '9x30' },
      { [ACTIVE]: '2x30', [STALE]: '1x30' },
    ],
  },
  EllipsisBrokerDiskFull: {
    at: '10m',
    fires: { [FREE]: '5e8x10', [SIZE]: '3e8x10' },
    silent: [{ [FREE]: '5e8x10', [SIZE]: '2e8x10' }, { [FREE]: '2e8x10' }],
  },
  EllipsisBrokerDatabaseLogLong: {
    at: '60m',
    fires: { ellipsis_broker_database_log_bytes: '6e8x60' },
    // A long log during a backup of twenty minutes.
    silent: [{ ellipsis_broker_database_log_bytes: '4e6x40 6e8x20' }],
  },
  EllipsisBrokerBackupOld: {
    at: '3d',
    fires: { [BACKUP]: '0x4400' },
    silent: [{ [BACKUP]: `${1.5 * DAY_SECONDS}x4400` }],
  },
  EllipsisBrokerCertificateExpires: {
    at: '1d',
    fires: { [EXPIRY]: `${14 * DAY_SECONDS}x1500` },
    // No value: the broker can't reach its public URL.
    silent: [{ [EXPIRY]: `${16 * DAY_SECONDS}x1500` }, {}],
  },
  EllipsisBrokerRestarts: {
    at: '30m',
    fires: { ellipsis_broker_starts_total: '1+1x30' },
    // An upgrade.
    silent: [{ ellipsis_broker_starts_total: '7x20 9x10' }],
  },
  EllipsisBrokerClockWrong: {
    at: '10m',
    fires: { ellipsis_broker_clock_offset_seconds: '-90x10' },
    silent: [{ ellipsis_broker_clock_offset_seconds: '-20x10' }],
  },
  EllipsisBrokerEventLoopBusy: {
    at: '15m',
    fires: { 'nodejs_eventloop_lag_p99_seconds{job="ellipsis-broker"}': '0.8x15' },
    silent: [
      { 'nodejs_eventloop_lag_p99_seconds{job="ellipsis-broker"}': '0x10 0.8x5' },
      { 'nodejs_eventloop_lag_p99_seconds{job="other"}': '0.8x15' },
    ],
  },
  EllipsisBrokerEventsPending: {
    at: '2h',
    fires: { ellipsis_broker_events_oldest_pending_seconds: '0+60x120' },
    // A receiver that was down for half an hour; none pending.
    silent: [
      { ellipsis_broker_events_oldest_pending_seconds: '0+60x30 0x90' },
      { ellipsis_broker_events_oldest_pending_seconds: '0x120' },
    ],
  },
  EllipsisBrokerEventsGivenUp: {
    at: '15m',
    fires: { 'ellipsis_broker_event_deliveries_total{outcome="given_up"}': '0x5 1x10' },
    silent: [
      { 'ellipsis_broker_event_deliveries_total{outcome="given_up"}': '7x15' },
      { 'ellipsis_broker_event_deliveries_total{outcome="failed"}': '0+1x15' },
    ],
  },
}

const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map(([, name = '']) => name)

/** A test in promtool's format, of which JSON is a subset. */
const unitTest = (alert: string, at: string, series: Series, firing: boolean) => ({
  interval: '1m',
  input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
  promql_expr_test: [
    {
      expr: `count(ALERTS{alertname="${alert}", alertstate="firing"})`,
      eval_time: at,
      exp_samples: firing ? [{ labels: '{}', value: 1 }] : [],
    },
  ],
})

t.test('promtool accepts the rules', options, async (t) => {
  t.match(execFileSync('promtool', ['check', 'rules', rulesFile], { encoding: 'utf8' }), 'SUCCESS')
})

t.test('every alert fires when it should, and not otherwise', options, async (t) => {
  t.strictSame(alerts.toSorted(), Object.keys(cases).toSorted())
  for (const [alert, { at, fires, silent }] of Object.entries(cases)) {
    for (const [firing, list] of [
      [true, [fires]],
      [false, silent],
    ] as const) {
      for (const series of list) {
        const file = join(t.testdir({}), 'test.json')
        const tests = [unitTest(alert, at, series, firing)]
        writeFileSync(file, JSON.stringify({ rule_files: [rulesFile], tests }))
        const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', file], {
          encoding: 'utf8',
        })
        t.equal(
          status,
          0,
          `${alert} ${firing ? 'fires' : 'is silent'} with ${JSON.stringify(series)}\n${stdout}${stderr}`,
        )
      }
    }
  }
})

interface Panel {
  id: number
  type: string
  title: string
  datasource?: { uid: string }
  gridPos: { x: number; y: number; w: number; h: number }
  targets?: { expr: string; datasource: { uid: string } }[]
}
const dashboard = JSON.parse(dashboardText) as {
  panels: Panel[]
  templating: { list: { name: string; type: string }[] }
}
const panels = dashboard.panels.filter(({ type }) => type !== 'row')
const expressions = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))

t.test('the dashboard takes its data source and instances from variables', async (t) => {
  t.strictSame(
    dashboard.templating.list.map(({ name, type }) => [name, type]),
    [
      ['datasource', 'datasource'],
      ['instance', 'query'],
    ],
  )
  for (const { title, datasource, targets = [] } of panels) {
    for (const { uid } of [
      datasource ?? { uid: '' },
      ...targets.map(({ datasource }) => datasource),
    ]) {
      t.equal(uid, '${datasource}', title)
    }
    t.ok(targets.length > 0, title)
    for (const { expr } of targets) t.match(expr, 'instance=~"$instance"')
  }
  t.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length)
  const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, index) => `${x + (index % w)},${y + Math.floor(index / w)}`),
  )
  t.equal(new Set(cells).size, cells.length, 'no panel covers another')
  t.ok(panels.every(({ gridPos: { x, w } }) => x + w <= 24))
})

t.test('promtool accepts the expressions of the dashboard', options, async (t) => {
  const file = join(t.testdir({}), 'dashboard.json')
  const recorded = expressions.map((expr, index) => ({
    record: `panel:${index}`,
    expr: expr.replaceAll('$__rate_interval', '5m').replaceAll('$instance', '.*'),
  }))
  writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboard', rules: recorded }] }))
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'rules', file], {
    encoding: 'utf8',
  })
  t.equal(status, 0, stdout + stderr)
})

/** Labels that Prometheus adds. */
const ADDED_LABELS = ['job', 'instance']

t.test(
  'alerts and dashboard name only metrics, labels and values that the broker has',
  async (t) => {
    const broker = await buildBroker(t)
    const app = await addApp(broker)
    const { brokerToken } = await connect(broker, app)
    await exchange(broker, brokerToken)
    await connectMany(broker, 1)
    Object.assign(broker.standIn.clients[0] ?? {}, { secret: 'another' })
    t.equal((await exchange(broker, brokerToken, { force: true })).status, 500, 'a server_error')
    await authorize(broker, app)
    const text = await scrape(broker)

    const samples = Map.groupBy(
      text.split('\n').filter((line) => /^\w/.test(line)),
      (line) => /^\w+/.exec(line)?.[0] ?? '',
    )
    const labelsOf = (text: string) => [...text.matchAll(/(\w+)(=~|!=|!~|=)"([^"]*)"/g)]
    const used = [rules, ...expressions, dashboardText].flatMap((text) => [
      ...text.matchAll(/\b((?:ellipsis_broker|nodejs|process)_[a-z0-9_]+)(\{[^}]*\})?/g),
    ])
    t.ok(used.length > 60, `${used.length} uses`)
    for (const [, name = '', selector = ''] of used) {
      // Known without a scrape: it needs an https URL that this broker doesn't have.
      const lines = samples.get(name) ?? []
      const isDeclared = text.includes(`# TYPE ${name} `)
      t.ok(lines.length > 0 || isDeclared, name)
      for (const [, label = '', operator = '', value = ''] of labelsOf(selector)) {
        if (ADDED_LABELS.includes(label)) continue
        const values = lines.flatMap((line) =>
          labelsOf(line)
            .filter(([, key]) => key === label)
            .map(([, , , found]) => found),
        )
        t.ok(values.length > 0, `${name} has the label ${label}`)
        const wanted = operator.endsWith('~') ? value.split('|') : [value]
        for (const one of wanted) t.ok(values.includes(one), `${name}{${label}="${one}"}`)
      }
    }
    const known = new Set([...text.matchAll(/(\w+)="/g)].map(([, label]) => label))
    for (const [, list = ''] of [rules, ...expressions].join('\n').matchAll(/\bby \(([^)]*)\)/g)) {
      for (const label of list.split(/, */))
        t.ok(known.has(label) || ADDED_LABELS.includes(label), `by (${label})`)
    }
  },
)
