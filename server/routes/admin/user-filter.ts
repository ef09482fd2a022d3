import type { BulkFilter, ConnectionStatus } from '../../../db/store.ts'

/** What the list of users may be asked for in the field `status`. */
const STATUSES: Record<string, ConnectionStatus[]> = {
  live: ['active', 'needs_reconnect'],
  active: ['active'],
  needs_reconnect: ['needs_reconnect'],
  revoked: ['revoked'],
  all: ['active', 'needs_reconnect', 'revoked'],
}

/** The filter of the list of users, from a form that carries it on: `q`, `status`, `app`. */
export function readUserFilter(form: unknown): BulkFilter {
  const fields = (form ?? {}) as Record<string, unknown>
  const text = (name: string) => {
    const value = fields[name]
    return typeof value === 'string' ? value.trim().slice(0, 200) : ''
  }
  return {
    search: text('q') || null,
    statuses: STATUSES[text('status')] ?? ['active', 'needs_reconnect'],
    appId: text('app') || null,
  }
}
