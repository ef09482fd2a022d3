import type { Period, UsageInterval } from '../../../connections/overview.ts'
import type { HttpServices } from '../../../services.ts'
import type { ChartView, UsageView } from '../../../../views/admin/monitoring.ts'
import { formatNumber } from './format.ts'

/** What a bar covers, and the labels of the axis: as many as divide the bars into equal parts. */
const AXES = {
  '24h': { interval: 'hour', format: 'hour', labels: 4 },
  '7d': { interval: 'six hours', format: 'weekday', labels: 7 },
  '30d': { interval: 'day', format: 'day', labels: 5 },
} as const satisfies Record<Period, object>

const PERIOD_LABELS: Record<Period, string> = {
  '24h': 'the last 24 hours',
  '7d': 'the last 7 days',
  '30d': 'the last 30 days',
}

/** The chart, in SVG units. */
const CHART_WIDTH = 720
const CHART_HEIGHT = 96
const BAR_GAP = 2
/** A lower bar would be invisible. */
const MIN_BAR_HEIGHT = 2

const series = [
  { id: 'swaps', title: 'Swaps' },
  { id: 'proxied', title: 'Proxied requests' },
  { id: 'refreshes', title: 'Refreshes' },
  { id: 'failures', title: 'Failures' },
] as const
type Series = (typeof series)[number]['id']

/** Reads the query parameter `period`; the default is 24 hours. */
export function readPeriod(query: unknown): Period {
  const { period } = query as { period?: unknown }
  return typeof period === 'string' && Object.hasOwn(PERIOD_LABELS, period)
    ? (period as Period)
    : '24h'
}

/**
 * Charts and table of swaps, proxied requests, refreshes and failures, for `views/admin/usage.eta`.
 * @param page path of the page that shows them, with the base path; links add `?period=`
 * @param appId only this app; default: all apps
 */
export async function usageView(
  { overview }: Pick<HttpServices, 'overview'>,
  page: string,
  period: Period,
  appId?: string,
): Promise<UsageView> {
  const stretches = await overview.usage(period, appId)
  // Few brokers have requests through the proxy: others do not show an empty chart.
  const shown = series.filter(
    ({ id }) => id !== 'proxied' || stretches.some(({ proxied }) => proxied > 0),
  )
  const { interval, format, labels } = AXES[period]
  const barsPerLabel = stretches.length / labels
  return {
    interval,
    axis: {
      format,
      starts: stretches.filter((_, index) => index % barsPerLabel === 0).map(({ start }) => start),
    },
    period: PERIOD_LABELS[period],
    periods: (Object.keys(PERIOD_LABELS) as Period[]).map((each) => ({
      label: PERIOD_LABELS[each].replace('the last ', ''),
      href: `${page}?period=${each}`,
      isCurrent: each === period,
    })),
    charts: shown.map(({ id, title }) => chartOf(id, title, stretches, period)),
    titles: shown.map(({ title }) => title),
    rows: stretches.toReversed().map((stretch) => ({
      start: stretch.start,
      counts: shown.map(({ id }) => formatNumber(stretch[id])),
    })),
  }
}

function chartOf(id: Series, title: string, stretches: UsageInterval[], period: Period): ChartView {
  const counts = stretches.map((stretch) => stretch[id])
  const max = Math.max(...counts)
  const top = axisTop(max)
  const total = counts.reduce((sum, count) => sum + count, 0)
  const step = CHART_WIDTH / counts.length
  return {
    id,
    title,
    total: formatNumber(total),
    description: `${title} in ${PERIOD_LABELS[period]}: ${formatNumber(total)}, at most ${formatNumber(max)} per bar. The table below has the numbers.`,
    width: CHART_WIDTH,
    height: CHART_HEIGHT,
    axis: max === 0 ? null : [top, top / 2, 0].map(formatNumber),
    bars: stretches.map(({ start, [id]: count }, index) => {
      const scaled = Math.max(MIN_BAR_HEIGHT, Math.round((count / top) * CHART_HEIGHT))
      const height = count === 0 ? 0 : scaled
      const iso = new Date(start).toISOString()
      return {
        x: index * step,
        y: CHART_HEIGHT - height,
        width: step - BAR_GAP,
        height,
        label: `${formatNumber(count)}, from ${iso.slice(0, 16).replace('T', ' ')} UTC`,
        count: formatNumber(count),
        start: iso,
      }
    }),
  }
}

/** The end of an axis: a round number that is at least `max`, and whose half is an integer. */
function axisTop(max: number): number {
  const magnitude = 10 ** Math.floor(Math.log10(Math.max(max, 1)))
  const factors = magnitude === 1 ? [2, 4, 6, 8] : [1, 1.2, 1.6, 2, 3, 4, 6, 8]
  return Math.round((factors.find((factor) => factor * magnitude >= max) ?? 10) * magnitude)
}
