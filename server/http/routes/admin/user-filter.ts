import type { ConnectionFilter } from '../../../../db/store.ts'
import { queryOf, readAsked } from './users.ts'

/** The filter of the list of users, from a posted form that carries it on: `q`, `status`, `app`. */
export function readUserFilter(form: unknown): ConnectionFilter {
  const { search, statuses, appId } = queryOf(readAsked(form as Record<string, unknown>))
  return { search, statuses, appId }
}
