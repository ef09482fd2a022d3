/** How pages write times. */

const readable = new Intl.DateTimeFormat('en-GB', {
  dateStyle: 'medium',
  timeStyle: 'short',
  timeZone: 'UTC',
})

/**
 * Markup of a time: in UTC as it leaves the broker; views/assets/admin.js puts it into the reader's zone.
 * @param milliseconds since the epoch; `null`: what `never` says
 */
export function time(milliseconds: number | null, never = '–'): string {
  if (milliseconds === null) return never
  const iso = new Date(milliseconds).toISOString()
  return `<time datetime="${iso}" title="${iso}">${readable.format(milliseconds)} UTC</time>`
}
