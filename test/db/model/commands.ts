import fc from 'fast-check'
import { adminCommands } from './commands/admins.ts'
import { appCommands } from './commands/apps.ts'
import { authorizationCommands } from './commands/authorization.ts'
import { bulkCommands } from './commands/bulk.ts'
import { connectionCommands } from './commands/connections.ts'
import { DAY, HOUR, MINUTE, SECOND } from './commands/context.ts'
import type { Command } from './commands/context.ts'
import { eventCommands } from './commands/events.ts'
import { leaseCommands } from './commands/leases.ts'
import { refreshCommands } from './commands/refresh.ts'
import { upkeepCommands } from './commands/upkeep.ts'
import { usageCommands } from './commands/usage.ts'

export const commands: Record<string, Command> = {
  ...appCommands,
  ...authorizationCommands,
  ...connectionCommands,
  ...leaseCommands,
  ...refreshCommands,
  ...bulkCommands,
  ...adminCommands,
  ...eventCommands,
  ...usageCommands,
  ...upkeepCommands,
}

/** Without these, most other commands find nothing to do. */
const FREQUENT = [
  ...['addApp', 'addConnection', 'addConnection', 'addGrant', 'addGrant', 'addAdmin'],
  ...[
    'addLink',
    'addLink',
    'addWebhook',
    'takeOutbox',
    'fillOutbox',
    'fillOutbox',
    'recordAttempt',
  ],
]

/** A moment of a history: some time passes, then one command runs, or several at once. */
export interface Step {
  waitMs: number
  names: string[]
  /** Of the commands' choices; the same for the same name. */
  seed: number
}

const name = fc.constantFrom(...Object.keys(commands), ...FREQUENT)

/** The same call twice at once: only one of two can be the first. */
const race = fc
  .constantFrom(
    ...Object.keys(commands).filter((name) =>
      /^(update|take|use|save|renewGrant|replace|revoke|set|fill|record)/.test(name),
    ),
  )
  .map((name) => [name, name])

const step: fc.Arbitrary<Step> = fc.noShrink(
  fc.noBias(
    fc.record({
      waitMs: fc.oneof(
        { weight: 12, arbitrary: fc.constant(0) },
        { weight: 6, arbitrary: fc.constantFrom(1, SECOND, 30 * SECOND, MINUTE) },
        { weight: 1, arbitrary: fc.constantFrom(HOUR, HOUR, DAY, DAY, 40 * DAY) },
      ),
      names: fc.oneof(
        { weight: 8, arbitrary: fc.tuple(name) },
        { weight: 1, arbitrary: race },
        { weight: 1, arbitrary: fc.uniqueArray(name, { minLength: 2, maxLength: 3 }) },
      ),
      seed: fc.integer(),
    }),
  ),
)

export const history = (maxLength: number): fc.Arbitrary<Step[]> =>
  fc.array(step, { maxLength, size: 'max' })
