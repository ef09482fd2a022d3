import type { Period, UsageInterval } from '../../../connections/overview.ts'
import type { HttpServices } from '../../../services.ts'
import type { ChartView, UsageView } from '../../../../views/admin/oversight.ts'

const WORDS: Record<Period, string> = {
  '24h': 'the last 24 hours',
  '7d': 'the last 7 days',
  '30d': 'the last 30 days',
}

const WIDTH = 720
const HEIGHT = 96
/** Space between bars. */
const GAP = 2
/** The least that can be seen. */
const LOWEST = 2

export const number = new Intl.NumberFormat('en-GB')

/** The period that an address asks for. */
export function readPeriod(query: unknown): Period {
  const { period } = query as { period?: unknown }
  return typeof period === 'string' && Object.hasOwn(WORDS, period) ? (period as Period) : '24h'
}

/**
 * Charts and table of what was swapped and refreshed, for `views/admin/usage.eta`.
 * @param page where they are shown, with the base path; `?period=` is added to it
 * @param appId left out: all apps together
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
    { id: 'failures', title: 'Failures' },
  ] as const
  return {
    period: WORDS[period],
    periods: (Object.keys(WORDS) as Period[]).map((each) => ({
      words: WORDS[each].replace('the last ', ''),
      href: `${page}?period=${each}`,
      isCurrent: each === period,
    })),
    charts: kinds.map(({ id, title }) => chartOf(id, title, stretches, period)),
    rows: stretches.toReversed().map(({ start, swaps, refreshes, failures }) => ({
      start,
      swaps: number.format(swaps),
      refreshes: number.format(refreshes),
      failures: number.format(failures),
    })),
  }
}

function chartOf(
  id: 'swaps' | 'refreshes' | 'failures',
  title: string,
  stretches: UsageInterval[],
  period: Period,
): ChartView {
  const counts = stretches.map((stretch) => stretch[id])
  const most = Math.max(...counts)
  const total = counts.reduce((sum, count) => sum + count, 0)
  const step = WIDTH / counts.length
  return {
    id,
    title,
    total: number.format(total),
    words: `${title} in ${WORDS[period]}: ${number.format(total)}, at most ${number.format(most)} at a time. The table below has the numbers.`,
    width: WIDTH,
    height: HEIGHT,
    bars: stretches.flatMap(({ start, [id]: count }, index) => {
      if (count === 0) return []
      const height = Math.max(LOWEST, Math.round((count / most) * HEIGHT))
      const at = new Date(start).toISOString().slice(0, 16).replace('T', ' ')
      const words = `${number.format(count)}, from ${at} UTC`
      return [{ x: index * step, y: HEIGHT - height, width: step - GAP, height, words }]
    }),
  }
}
