/** How pages write times. */

const readable = new Intl.DateTimeFormat('en-GB', {
  dateStyle: 'medium',
  timeStyle: 'short',
  timeZone: 'UTC',
})

/** A time in UTC, for text that takes no markup: "24 Nov 2026, 22:40 UTC". */
export const timeText = (milliseconds: number): string => `${readable.format(milliseconds)} UTC`

/** Where there is little room a time breaks between its day and its hour, and nowhere else. */
const bound = (text: string) => text.replaceAll(' ', '\u00a0').replace(',\u00a0', ', ')

/**
 * Markup of a time: in UTC as it leaves the broker; views/assets/admin.js puts it into the reader's zone.
 * @param milliseconds since the epoch; `null`: what `never` says
 */
export function time(milliseconds: number | null, never = '–'): string {
  if (milliseconds === null) return never
  const iso = new Date(milliseconds).toISOString()
  return `<time datetime="${iso}" title="${iso}">${bound(timeText(milliseconds))}</time>`
}
