/** How pages show times. */

const LOCALE = 'en-GB'

const formats = {
  text: { dateStyle: 'medium', timeStyle: 'short' },
  weekday: { weekday: 'short' },
  hour: { timeStyle: 'short' },
  day: { day: 'numeric', month: 'short' },
} as const satisfies Record<string, Intl.DateTimeFormatOptions>

/** Made when first used: they would take a twentieth of the program's start. */
const formatters = new Map<string, Intl.DateTimeFormat>()

function formatter(name: keyof typeof formats, locale = LOCALE): Intl.DateTimeFormat {
  const key = `${name} ${locale}`
  let made = formatters.get(key)
  if (!made) {
    made = new Intl.DateTimeFormat(locale, { ...formats[name], timeZone: 'UTC' })
    formatters.set(key, made)
  }
  return made
}

/** A time in UTC as plain text: "24 Nov 2026, 22:40 UTC". */
export const timeText = (milliseconds: number, locale = LOCALE): string =>
  `${formatter('text', locale).format(milliseconds)} UTC`

/** Allows a line break only between date and time. */
const withFixedSpaces = (text: string) => text.replaceAll(' ', '\u00a0').replace(',\u00a0', ', ')

/**
 * Markup of a time in UTC. views/assets/admin.js converts it to how long ago it is, with the exact time in the
 * reader's time zone on hover.
 * @param milliseconds since the epoch; for `null`, returns `never`
 */
export function time(milliseconds: number | null, never = ''): string {
  return milliseconds === null ? never : markup(milliseconds, timeText(milliseconds))
}

/** A time as people see it at that moment, both in milliseconds since the epoch. */
export interface Moment {
  at: number
  now: number
}

/** As UNITS in views/assets/admin.js. */
const UNITS = [
  ['year', 31_557_600_000],
  ['month', 2_629_800_000],
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
] as const satisfies [Intl.RelativeTimeFormatUnit, number][]

/** How long ago, or until, as plain text: "3 hours ago". It needs no time zone, which only a script could tell. */
export function relativeTimeText({ at, now }: Moment, locale: string): string {
  const milliseconds = at - now
  const [unit, length] = UNITS.find(([, length]) => Math.abs(milliseconds) >= length) ?? []
  if (!unit) return new Intl.RelativeTimeFormat(locale, { numeric: 'auto' }).format(0, 'second')
  return new Intl.RelativeTimeFormat(locale).format(Math.trunc(milliseconds / length), unit)
}

/** The same as markup, with the exact time on hover. */
export const relativeTime = (moment: Moment, locale: string): string =>
  markup(moment.at, relativeTimeText(moment, locale), '', timeText(moment.at, locale))

export type TimeFormat = 'exact' | Exclude<keyof typeof formats, 'text'>

/**
 * As `time`, but it stays a point in time: for tables and axes of times.
 * @param format `exact`: date and time; the others are for an axis
 */
export function pointInTime(milliseconds: number, format: TimeFormat): string {
  const text = format === 'exact' ? timeText(milliseconds) : formatter(format).format(milliseconds)
  return markup(milliseconds, text, ` data-format="${format}"`)
}

function markup(milliseconds: number, text: string, attribute = '', title?: string): string {
  const iso = new Date(milliseconds).toISOString()
  return `<time datetime="${iso}" title="${title ?? iso}"${attribute}>${withFixedSpaces(text)}</time>`
}
