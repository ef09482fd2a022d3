import type { Period, UsageInterval } from '../../../connections/overview.ts'
import type { HttpServices } from '../../../services.ts'
import type { ChartView, UsageView } from '../../../../views/admin/monitoring.ts'
import { formatNumber } from './format.ts'

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

/** Reads the query parameter `period`; the default is 24 hours. */
export function readPeriod(query: unknown): Period {
  const { period } = query as { period?: unknown }
  return typeof period === 'string' && Object.hasOwn(PERIOD_LABELS, period)
    ? (period as Period)
    : '24h'
}

/**
 * Charts and table of swaps, refreshes, requests and failures, for `views/admin/usage.eta`.
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
  const kinds = [
    { id: 'swaps', title: 'Swaps' },
    { id: 'refreshes', title: 'Refreshes' },
    { id: 'requests', title: 'Requests' },
    { id: 'failures', title: 'Failures' },
  ] as const
  return {
    period: PERIOD_LABELS[period],
    periods: (Object.keys(PERIOD_LABELS) as Period[]).map((each) => ({
      label: PERIOD_LABELS[each].replace('the last ', ''),
      href: `${page}?period=${each}`,
      isCurrent: each === period,
    })),
    charts: kinds.map(({ id, title }) => chartOf(id, title, stretches, period)),
    rows: stretches.toReversed().map(({ start, swaps, refreshes, requests, failures }) => ({
      start,
      swaps: formatNumber(swaps),
      refreshes: formatNumber(refreshes),
      requests: formatNumber(requests),
      failures: formatNumber(failures),
    })),
  }
}

function chartOf(
  id: 'swaps' | 'refreshes' | 'requests' | 'failures',
  title: string,
  stretches: UsageInterval[],
  period: Period,
): ChartView {
  const counts = stretches.map((stretch) => stretch[id])
  const max = Math.max(...counts)
  const total = counts.reduce((sum, count) => sum + count, 0)
  const step = CHART_WIDTH / counts.length
  return {
    id,
    title,
    total: formatNumber(total),
    description: `${title} in ${PERIOD_LABELS[period]}: ${formatNumber(total)}, at most ${formatNumber(max)} per bar. The table below has the numbers.`,
    width: CHART_WIDTH,
    height: CHART_HEIGHT,
    bars: stretches.flatMap(({ start, [id]: count }, index) => {
      if (count === 0) return []
      const height = Math.max(MIN_BAR_HEIGHT, Math.round((count / max) * CHART_HEIGHT))
      const at = new Date(start).toISOString().slice(0, 16).replace('T', ' ')
      const label = `${formatNumber(count)}, from ${at} UTC`
      return [{ x: index * step, y: CHART_HEIGHT - height, width: step - BAR_GAP, height, label }]
    }),
  }
}
