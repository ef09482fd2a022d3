import { Counter } from 'prom-client'
import type { Registry } from 'prom-client'
import { StoreUnavailableError } from '../../db/errors.ts'
import type { Callback, Connect } from '../connections/connect.ts'
import { EllipsisError } from '../ellipsis/errors.ts'
import { BrokerError } from '../errors.ts'

/**
 * Why nobody was connected. `denied`: the user refused; `unknown_flow`: expired, already complete, or of another
 * browser; `own_client_refused`, `code_refused` and `upstream_unavailable`: Ellipsis Drive's answer.
 */
const REASONS = [
  ...(['denied', 'unknown_flow', 'own_client_refused', 'code_refused'] as const),
  ...(['upstream_unavailable', 'store_unavailable', 'other'] as const),
]
type Reason = (typeof REASONS)[number]

/** Counts the callbacks that connect nobody. A repeated callback has the same result, and counts once. */
export function countFailedConnects(connect: Connect, registry: Registry): Connect {
  const failures = new Counter({
    name: 'ellipsis_broker_failed_connects_total',
    help: 'Callbacks from Ellipsis Drive that connected nobody, by reason.',
    labelNames: ['reason'] as const,
    registers: [registry],
  })
  for (const reason of REASONS) failures.inc({ reason }, 0)
  const counted = new WeakSet<object>()
  const count = (result: object, reason: Reason): void => {
    if (!counted.has(result)) failures.inc({ reason })
    counted.add(result)
  }
  return {
    ...connect,
    async finish(callback) {
      try {
        const result = await connect.finish(callback)
        if (result.kind === 'refused') count(result, 'denied')
        return result
      } catch (error) {
        if (isFromUpstream(callback)) count(error as Error, reasonOf(error))
        throw error
      }
    },
    async decide(decision) {
      try {
        return await connect.decide(decision)
      } catch (error) {
        count(error as Error, reasonOf(error))
        throw error
      }
    },
  }
}

/** `doctor` and scanners request the callback without any parameter of it. */
const isFromUpstream = ({ state, code, error }: Callback): boolean =>
  state !== null || code !== undefined || error !== undefined

const ELLIPSIS_REASONS: Record<EllipsisError['kind'], Reason> = {
  misconfigured: 'own_client_refused',
  refused: 'code_refused',
  transient: 'upstream_unavailable',
}

function reasonOf(error: unknown): Reason {
  if (error instanceof EllipsisError) return ELLIPSIS_REASONS[error.kind]
  if (error instanceof StoreUnavailableError) return 'store_unavailable'
  if (!(error instanceof BrokerError)) return 'other'
  if (error.code === 'access_denied') return 'denied'
  if (error.details.reason === 'upstream_refused_code') return 'code_refused'
  if (error.code === 'invalid_request') return 'unknown_flow'
  if (error.details.cause !== undefined) return reasonOf(error.details.cause)
  return error.code === 'temporarily_unavailable' ? 'upstream_unavailable' : 'other'
}
