import { createEllipsisClient } from '../../ellipsis/client.ts'
import { MAX_CLOCK_OFFSET_SECONDS, describeClockOffset } from '../../ellipsis/clock-offset.ts'
import { describeProxy } from '../../config/proxy.ts'
import { EllipsisError } from '../../ellipsis/errors.ts'
import { UNKNOWN_ISSUER_CODES } from '../../ellipsis/transport.ts'
import { Secret } from '../../secret.ts'
import { ok, problem, requestOptions, warning } from './check.ts'
import type { Check, CheckContext, CheckResult } from './check.ts'

/** Checks of Ellipsis Drive, as seen from this machine. */
export const upstreamChecks: Record<string, Check> = {
  'outgoing proxy': async ({ proxy, ellipsis }) =>
    ok(
      proxy
        ? `calls to ${ellipsis.apiUrl} go through ${describeProxy(proxy)}`
        : `none: calls to ${ellipsis.apiUrl} go there directly`,
    ),

  'Ellipsis Drive': checkCredentials,

  clock: async ({ ellipsis, runtime }) => {
    const startedAt = runtime.clock.now()
    const { headers } = await runtime.fetch(ellipsis.apiUrl, {
      method: 'HEAD',
      ...requestOptions(),
    })
    return judgeClock(headers.get('date'), (startedAt + runtime.clock.now()) / 2)
  },
}

/** @param date the `Date` header of Ellipsis Drive. @param now milliseconds since the epoch */
export function judgeClock(date: string | null, now: number): CheckResult {
  const upstreamNow = Date.parse(date ?? '')
  if (Number.isNaN(upstreamNow))
    return warning('Ellipsis Drive sends no time', 'Check this machine’s clock by hand.')
  const seconds = Math.round((now - upstreamNow) / 1000)
  if (Math.abs(seconds) <= 10) return ok('within 10 s of Ellipsis Drive’s clock')
  const finding = describeClockOffset(seconds)
  const fix = 'Set the clock and keep it right with NTP: token lifetimes depend on it.'
  return Math.abs(seconds) < MAX_CLOCK_OFFSET_SECONDS
    ? warning(finding, fix)
    : problem(finding, fix)
}

const TRUST_ISSUER =
  'Its certificate can’t be verified. If a private certificate authority or a proxy that inspects traffic issued it, start the broker and its commands with NODE_EXTRA_CA_CERTS=/path/to/ca.pem in the environment; see docs/run.md.'

/** Refreshes with a made-up token: the kind of rejection tells whether the client is known. */
async function checkCredentials({
  ellipsis,
  callbackUrl,
  proxy,
  runtime,
}: CheckContext): Promise<CheckResult> {
  if (ellipsis.clientId === '') {
    return problem(
      'ELLIPSIS_CLIENT_ID is not set',
      'Set ELLIPSIS_CLIENT_ID and ELLIPSIS_CLIENT_SECRET; docs/configure.md says where to find them.',
    )
  }
  const now = () => runtime.clock.now()
  const options = {
    ...ellipsis,
    redirectUri: callbackUrl,
    fetch: runtime.fetch,
    now,
    timeoutMs: 10_000,
  }
  const client = createEllipsisClient(options)
  const answer = await client
    .refresh(new Secret('ellipsis-broker-doctor'))
    .catch((error: unknown) => error)
  if (!(answer instanceof EllipsisError))
    return warning('it accepted a made-up refresh token', 'Check ELLIPSIS_API_URL.')
  if (answer.kind === 'refused') return ok(`${ellipsis.apiUrl} accepts the client’s credentials`)
  if (answer.kind === 'misconfigured') {
    return problem(
      'it rejects the client',
      'Compare ELLIPSIS_CLIENT_ID and ELLIPSIS_CLIENT_SECRET with its Developer settings.',
    )
  }
  if (UNKNOWN_ISSUER_CODES.test(answer.message)) return problem(answer.message, TRUST_ISSUER)
  if (answer.status === null || answer.status >= 500) {
    return problem(
      answer.message,
      proxy
        ? `Check HTTPS_PROXY (${describeProxy(proxy)}), NO_PROXY and ELLIPSIS_API_URL.`
        : 'Check ELLIPSIS_API_URL, and that this machine may make outgoing requests. If it needs a proxy, set HTTPS_PROXY.',
    )
  }
  return warning(
    `its answer does not show whether it knows the client (status ${answer.status})`,
    'Run `probe` to find the request format it expects; try ELLIPSIS_TOKEN_REQUEST=json.',
  )
}
