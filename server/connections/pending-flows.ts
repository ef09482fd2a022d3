import type { Store } from '../../db/store.ts'
import type { Vault } from '../crypto/vault.ts'
import type { Clock } from '../runtime.ts'
import { unknownFlow, withoutState } from './connect-errors.ts'
import { openFlow } from './flow.ts'
import type { Flow, FlowCookie } from './flow.ts'

/** Finds the flow that a callback belongs to: that of its state, or without one the only flow of this browser. */
export type FindFlow = (callback: { state: string | null; cookies: FlowCookie[] }) => Promise<Flow>

/**
 * The returned function throws BrokerError `invalid_request` if there is no such flow.
 * @param dependencies.hasResult has the flow of that cookie ended in this process?
 */
export function createFindFlow(dependencies: {
  store: Pick<Store, 'listUsedStates'>
  vault: Vault
  clock: Clock
  hasResult: (cookie: FlowCookie) => boolean
}): FindFlow {
  const { store, vault, clock, hasResult } = dependencies

  const openCookie = (cookie: FlowCookie): Flow | undefined => {
    const flow = openFlow(vault, cookie)
    return flow && flow.expiresAt > clock.now() ? flow : undefined
  }

  const listPending = async (cookies: FlowCookie[]): Promise<Flow[]> => {
    const flows = cookies.flatMap((cookie) => {
      const flow = hasResult(cookie) ? undefined : openCookie(cookie)
      return flow ? [flow] : []
    })
    const used = await store.listUsedStates(flows.map(({ stateHash }) => stateHash))
    return flows.filter(({ stateHash }) => !used.includes(stateHash))
  }

  return async ({ state, cookies }) => {
    if (state === null) {
      const [flow, another] = await listPending(cookies)
      if (!flow || another) throw withoutState()
      return flow
    }
    const [cookie] = cookies
    if (!cookie) throw unknownFlow(false)
    const flow = openCookie(cookie)
    if (!flow) throw unknownFlow(openFlow(vault, cookie) === undefined)
    return flow
  }
}
