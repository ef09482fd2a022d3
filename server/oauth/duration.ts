import { BrokerError } from '../errors.ts'

/** Seconds, from the shortest. */
const UNITS = { s: 1, m: 60, h: 3600, d: 86_400 }

/** `30d`, `12h`, `90m`, `45s`, in seconds. @throws BrokerError `invalid_request` */
export function parseDuration(text: string): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text.trim()) ?? []
  if (count !== undefined) return Number(count) * UNITS[unit as keyof typeof UNITS]
  const description = `${text} is no duration: use 45s, 90m, 12h or 30d.`
  throw new BrokerError('invalid_request', { description })
}

/** The same the other way, in the largest unit that divides it. */
export function formatDuration(seconds: number): string {
  const [unit, length] = Object.entries(UNITS).reduce((best, longer) =>
    seconds % longer[1] === 0 ? longer : best,
  )
  return `${seconds / length}${unit}`
}
