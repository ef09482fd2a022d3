import { createEllipsisClient } from '../../ellipsis/client.ts'
import { EllipsisError } from '../../ellipsis/errors.ts'
import { Secret } from '../../secret.ts'
import { ok, problem, warning } from './finding.ts'
import type { Check, Patient, Told } from './finding.ts'
import { within } from './reach.ts'

/** Of Ellipsis Drive, as it is seen from here. */
export const upstreamChecks: Record<string, Check> = {
  'Ellipsis Drive': askUpstream,

  clock: async ({ ellipsis, runtime }) => {
    const began = runtime.clock.now()
    const { headers } = await runtime.fetch(ellipsis.apiUrl, { method: 'HEAD', ...within() })
    return judgeClock(headers.get('date'), (began + runtime.clock.now()) / 2)
  },
}

export function judgeClock(date: string | null, now: number): Told {
  const theirs = Date.parse(date ?? '')
  if (Number.isNaN(theirs))
    return warning('Ellipsis Drive tells no time', 'Compare this machine’s clock by hand.')
  const seconds = Math.round((now - theirs) / 1000)
  if (Math.abs(seconds) <= 10) return ok('within 10 s of Ellipsis Drive’s')
  const words = `${Math.abs(seconds)} s ${seconds > 0 ? 'ahead of' : 'behind'} Ellipsis Drive’s`
  const mend = 'Set the clock, and let NTP keep it: tokens are judged by it.'
  return Math.abs(seconds) < 60 ? warning(words, mend) : problem(words, mend)
}

/** A refresh with a token that never was: how it is refused tells whether the client is known. */
async function askUpstream({ ellipsis, callbackUrl, runtime }: Patient): Promise<Told> {
  if (ellipsis.clientId === '') {
    return problem(
      'ELLIPSIS_CLIENT_ID is not set',
      'Set it, and ELLIPSIS_CLIENT_SECRET: docs/configure.md says where they are found.',
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
    return warning('it took a token that never was', 'Check ELLIPSIS_API_URL.')
  if (answer.kind === 'refused') return ok(`${ellipsis.apiUrl} takes the client’s credentials`)
  if (answer.kind === 'misconfigured') {
    return problem(
      'it refuses the client',
      'Check ELLIPSIS_CLIENT_ID and ELLIPSIS_CLIENT_SECRET in its Developer settings.',
    )
  }
  if (answer.status === null || answer.status >= 500) {
    return problem(answer.message, 'Check ELLIPSIS_API_URL, and whether this machine may call out.')
  }
  return warning(
    `it answers, but not so that one could tell whether it knows the client (status ${answer.status})`,
    'Run `probe`, which finds out how it likes to be asked; try ELLIPSIS_TOKEN_REQUEST=json.',
  )
}
