import { BrokerError } from '../errors.ts'

/** In ascending order. */
const UNIT_SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 }

/** Parses `30d`, `12h`, `90m` or `45s` into seconds. @throws BrokerError `invalid_request` */
export function parseDuration(text: string): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text.trim()) ?? []
  if (count !== undefined) return Number(count) * UNIT_SECONDS[unit as keyof typeof UNIT_SECONDS]
  const description = `${text} is not a duration: use 45s, 90m, 12h or 30d.`
  throw new BrokerError('invalid_request', { description })
}

/** Parses a duration, or `off` into `null`. @throws BrokerError `invalid_request` */
export const parseLimit = (text: string): number | null =>
  text.trim() === 'off' ? null : parseDuration(text)

const UNIT_NAMES = { s: 'second', m: 'minute', h: 'hour', d: 'day' } as const

/**
 * Formats how long an app's grants last, for people; `null` for no limit.
 * @param amount such as `90 days` in the language of the page
 */
export function describeLimit(
  { grantLifetimeSeconds: seconds }: { grantLifetimeSeconds: number | null },
  amount: (count: number, unit: (typeof UNIT_NAMES)[keyof typeof UNIT_NAMES]) => string,
): string | null {
  if (seconds === null) return null
  const [, count = '', unit = ''] = /^(\d+)(.)$/.exec(formatDuration(seconds)) ?? []
  return amount(Number(count), UNIT_NAMES[unit as keyof typeof UNIT_NAMES])
}

/** Formats seconds as `parseLimit` reads them. */
export const formatLimit = (seconds: number | null): string =>
  seconds === null ? 'off' : formatDuration(seconds)

/** Formats seconds in the largest unit that divides them. */
export function formatDuration(seconds: number): string {
  const [unit, unitSeconds] = Object.entries(UNIT_SECONDS).reduce((best, longer) =>
    seconds % longer[1] === 0 ? longer : best,
  )
  return `${seconds / unitSeconds}${unit}`
}
