import { allow } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { Visitor } from '../visitor.ts'

/** Signs a user in at `/me`. */
export async function signInAtMe(broker: TestBroker, user = 'amelie', visitor = new Visitor()) {
  const start = await visitor.open(`${broker.url}/me`)
  const upstream = await visitor.press(start, 'Continue to Ellipsis Drive')
  return { visitor, page: await allow(visitor, upstream, user) }
}

/** The text of a page. */
export const textOf = ({ body }: { body: string }): string =>
  body
    .replace(/^.*<main[^>]*>/s, '')
    .replace(/<[^>]*>/g, ' ')
    .replace(/&#39;/g, "'")
    .replace(/\s+/g, ' ')

/** The path of the link or button with that text or label. */
export function pathOf({ body }: { body: string }, label: string): string {
  for (const [, tag = '', content = ''] of body.matchAll(/<a ([^>]*)>(.*?)<\/a>/gs)) {
    const shown = /aria-label="([^"]*)"/.exec(tag)?.[1] ?? content.replace(/<[^>]*>/g, '').trim()
    if (shown === label) return /href="([^"]*)"/.exec(tag)?.[1] ?? ''
  }
  throw new Error(`no link "${label}" in:\n${body}`)
}
