/** How the dashboard writes names and numbers. */

import type { BudgetUse } from '../../../drive/budget.ts'
import { replaceInvisible } from '../../../visible-text.ts'

/**
 * An untrusted name for plain text: without invisible characters, and isolated from the text around it, as in
 * HTML's `<bdi>` (UAX #9, 2.4).
 */
export const plainName = (name: string): string => `\u2068${replaceInvisible(name, '')}\u2069`

/** Made when first used: it would take a tenth of the program's start. */
let numberFormat: Intl.NumberFormat | undefined

/** A number with separators: "1,234". */
export const formatNumber = (value: number): string =>
  (numberFormat ??= new Intl.NumberFormat('en-GB')).format(value)

/** A number with its noun: "1 device", "2 devices". */
export const formatCount = (count: number, noun: string): string =>
  `${formatNumber(count)} ${noun}${count === 1 ? '' : 's'}`

/** How much of a budget is used: "1,234 of 10,000 requests today, 5 refused". */
export function budgetText({ window, limit, used, refused }: BudgetUse): string {
  const when = window === 'day' ? 'today' : 'this minute'
  const end = refused > 0 ? `, ${formatNumber(refused)} refused` : ''
  return `${formatNumber(used)} of ${formatNumber(limit)} requests ${when}${end}`
}
