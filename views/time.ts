/** How pages show times. */

const format = new Intl.DateTimeFormat('en-GB', {
  dateStyle: 'medium',
  timeStyle: 'short',
  timeZone: 'UTC',
})

/** A time in UTC as plain text: "24 Nov 2026, 22:40 UTC". */
export const timeText = (milliseconds: number): string => `${format.format(milliseconds)} UTC`

/** Allows a line break only between date and time. */
const withFixedSpaces = (text: string) => text.replaceAll(' ', '\u00a0').replace(',\u00a0', ', ')

/**
 * Markup of a time in UTC. views/assets/admin.js converts it to the reader's time zone.
 * @param milliseconds since the epoch; for `null`, returns `never`
 */
export function time(milliseconds: number | null, never = '–'): string {
  if (milliseconds === null) return never
  const iso = new Date(milliseconds).toISOString()
  return `<time datetime="${iso}" title="${iso}">${withFixedSpaces(timeText(milliseconds))}</time>`
}
