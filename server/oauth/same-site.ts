import type { App } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'

/**
 * Why pages of this origin can never send a session's cookie to the broker, as text; `null`: they may. Browsers
 * compare scheme and registrable domain (draft-ietf-httpbis-rfc6265bis 5.2), which takes the public suffix list.
 * This only finds origins that share no domain with the broker: `a.co.uk` and `b.co.uk` pass.
 */
export function siteProblem(origin: string, publicUrl: string): string | null {
  const [page, broker] = [URL.parse(origin), new URL(publicUrl)]
  // Any page there can already act as the broker's own pages.
  if (page?.origin === broker.origin) return 'is the broker’s own origin: use another host name'
  const isSameSite =
    page?.protocol === broker.protocol &&
    (page.hostname === broker.hostname || shareDomain(page.hostname, broker.hostname))
  return isSameSite
    ? null
    : `is on another site than the broker at ${publicUrl}: browsers would not send the cookie`
}

/** Do two host names end in the same two labels? */
function shareDomain(one: string, other: string): boolean {
  const [a, b] = [one, other].map((name) => name.split('.').slice(-2).join('.'))
  return a === b && a?.includes('.') === true && !/^[\d.]+$|[[\]]/.test(one)
}

/** Origins of an app with sessions that are on another site, with the reason. */
export const siteProblems = (
  { session, origins }: Pick<App, 'session' | 'origins'>,
  publicUrl: string,
): string[] =>
  session === 'token'
    ? []
    : origins.flatMap((origin) => {
        const problem = siteProblem(origin, publicUrl)
        return problem === null ? [] : [`Origin ${origin} ${problem}.`]
      })

/** @throws BrokerError `invalid_request` if an app with sessions has an origin on another site, or none */
export function checkSite(app: Pick<App, 'session' | 'origins'>, publicUrl: string): void {
  const problems = siteProblems(app, publicUrl)
  if (app.session === 'cookie' && app.origins.length === 0)
    problems.push('A session in a cookie needs an origin: give a redirect URI on the web.')
  if (problems.length > 0)
    throw new BrokerError('invalid_request', { description: problems.join('\n') })
}
