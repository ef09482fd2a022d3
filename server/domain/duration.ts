import { BrokerError } from '../errors.ts'

const UNITS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 }

/** `30d`, `12h`, `90m`, `45s`, in seconds. @throws BrokerError `invalid_request` */
export function parseDuration(text: string): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text.trim()) ?? []
  if (count !== undefined && unit !== undefined) return Number(count) * (UNITS[unit] ?? 1)
  const description = `${text} is no duration: use 45s, 90m, 12h or 30d.`
  throw new BrokerError('invalid_request', { description })
}

/** The same the other way, in the largest unit that divides it. */
export function formatDuration(seconds: number): string {
  const [unit, length] = Object.entries(UNITS).findLast(([, size]) => seconds % size === 0) ?? [
    's',
    1,
  ]
  return `${seconds / length}${unit}`
}
