/** How pages show times. */

const LOCALE = 'en-GB'
const options = { dateStyle: 'medium', timeStyle: 'short', timeZone: 'UTC' } as const
const english = new Intl.DateTimeFormat(LOCALE, options)

/** A time in UTC as plain text: "24 Nov 2026, 22:40 UTC". */
export const timeText = (milliseconds: number, locale = LOCALE): string => {
  const format = locale === LOCALE ? english : new Intl.DateTimeFormat(locale, options)
  return `${format.format(milliseconds)} UTC`
}

/** Allows a line break only between date and time. */
const withFixedSpaces = (text: string) => text.replaceAll(' ', '\u00a0').replace(',\u00a0', ', ')

/**
 * Markup of a time in UTC. views/assets/admin.js converts it to how long ago it is, with the exact time in the
 * reader's time zone on hover.
 * @param milliseconds since the epoch; for `null`, returns `never`
 */
export function time(milliseconds: number | null, never = '', locale = LOCALE): string {
  return milliseconds === null ? never : markup(milliseconds, timeText(milliseconds, locale))
}

export type TimeFormat = 'exact' | keyof typeof axisFormats

const axisFormats = {
  weekday: new Intl.DateTimeFormat('en-GB', { weekday: 'short', timeZone: 'UTC' }),
  hour: new Intl.DateTimeFormat('en-GB', { timeStyle: 'short', timeZone: 'UTC' }),
  day: new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' }),
}

/**
 * As `time`, but it stays a point in time: for tables and axes of times.
 * @param format `exact`: date and time; the others are for an axis
 */
export function pointInTime(milliseconds: number, format: TimeFormat): string {
  const text =
    format === 'exact' ? timeText(milliseconds) : axisFormats[format].format(milliseconds)
  return markup(milliseconds, text, ` data-format="${format}"`)
}

function markup(milliseconds: number, text: string, attribute = ''): string {
  const iso = new Date(milliseconds).toISOString()
  return `<time datetime="${iso}" title="${iso}"${attribute}>${withFixedSpaces(text)}</time>`
}
