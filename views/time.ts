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
 * Markup of a time in UTC. views/assets/admin.js converts it to the reader's time zone.
 * @param milliseconds since the epoch; for `null`, returns `never`
 */
export function time(milliseconds: number | null, never = '–', locale = LOCALE): string {
  if (milliseconds === null) return never
  const iso = new Date(milliseconds).toISOString()
  return `<time datetime="${iso}" title="${iso}">${withFixedSpaces(timeText(milliseconds, locale))}</time>`
}
