import { join } from 'node:path'
import { COMMAND_SINK_ID } from '../../../db/event-types.ts'
import { readSinks } from '../../../db/data-directory/copy.ts'
import type { StoredSink } from '../../../db/data-directory/copy.ts'
import { sqliteBinding } from '../../assets.ts'
import { programProblem } from '../../data/start-error.ts'
import { ok, problem, warning } from './check.ts'
import { readServerSinks } from './database-checks.ts'
import type { Check } from './check.ts'

/** A sink is late if its oldest event has waited for longer. */
const LATE_MS = 60 * 60_000

/** Checks of what gets events. They send nothing. */
export const eventChecks: Record<string, Check> = {
  webhooks: async (context) => {
    const { database, dataDir, onEvent, runtime } = context
    const stored = database
      ? await readServerSinks(context)
      : readSinks(join(dataDir, 'broker.db'), sqliteBinding(context))
    const sinks = stored.filter(({ id }) => id !== COMMAND_SINK_ID || onEvent !== null)
    const lateBefore = runtime.clock.now() - LATE_MS
    const problems = sinks.flatMap((sink) => describeProblem(sink, lateBefore) ?? [])
    const count = sinks.filter(({ id }) => id !== COMMAND_SINK_ID).length
    if (problems.length === 0) return ok(count === 0 ? 'no endpoints' : `endpoints: ${count}`)
    const fix =
      '`ellipsis-broker webhook deliveries ID` shows the answers. Fix the receiver; `webhook enable ID` or `webhook remove ID` if it is disabled.'
    return warning(problems.join(' '), fix)
  },

  BROKER_ON_EVENT: async ({ onEvent }) => {
    if (!onEvent) return ok('not set')
    const found = programProblem(onEvent.program)
    const fix =
      'Set it to an executable file (chmod +x), or unset it: the broker does not start like this.'
    return found === null ? ok(onEvent.program) : problem(`${onEvent.program} ${found}`, fix)
  },
}

/** `null`: it gets its events. Only the host of its URL is shown: the rest may be a secret. */
function describeProblem(sink: StoredSink, lateBefore: number): string | null {
  const { id, url, disabledReason, pending, oldestPendingAt, lastError } = sink
  const name = url === null ? id : `${id} (${new URL(url).host})`
  if (disabledReason !== null) return `${name} is disabled: ${disabledReason}.`
  if (oldestPendingAt === null || oldestPendingAt > lateBefore) return null
  const since = new Date(oldestPendingAt).toISOString()
  const error = lastError === null ? '' : `, last error: ${lastError}`
  return `${name} has ${pending} undelivered ${pending === 1 ? 'event' : 'events'}, the oldest since ${since}${error}.`
}
